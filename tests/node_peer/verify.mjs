// Runs a module that exports `userOf`, as another service would.

import { writeFile } from "node:fs/promises";
import { serve } from "./lines.mjs";

let modules = 0;

await serve({
  // Answers with what userOf says of each cookie, or with the code of its error.
  users: async ({ code, cookies }) => {
    const url = new URL(`./verify-${++modules}.mjs`, import.meta.url);
    await writeFile(url, code);
    const { userOf } = await import(url);
    const answers = [];
    for (const cookie of cookies) {
      answers.push(await userOf(cookie).catch((error) => ({ error: error.code })));
    }
    return answers;
  },
});
