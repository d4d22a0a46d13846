"""The blocks of docs/cookies.md that are marked as tested, by name, as they stand there."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/cookies.md"
BLOCKS: dict[str, str] = dict(
    re.findall(
        r"<!-- tested: ([a-z ]+) -->\n```(?:python|js)\n(.*?)```",
        PAGE.read_text("utf-8"),
        re.DOTALL,
    )
)
