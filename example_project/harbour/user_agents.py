"""User agents as browsers send them, by a short name."""

_WINDOWS = "Windows NT 10.0; Win64; x64"
_MAC = "Macintosh; Intel Mac OS X 10_15_7"
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"

USER_AGENTS = {
    "chrome-windows": f"Mozilla/5.0 ({_WINDOWS}) {_BLINK} Chrome/141.0.0.0 Safari/537.36",
    "chrome-mac": f"Mozilla/5.0 ({_MAC}) {_BLINK} Chrome/140.0.0.0 Safari/537.36",
    "chrome-linux": f"Mozilla/5.0 (X11; Linux x86_64) {_BLINK} Chrome/141.0.0.0 Safari/537.36",
    "chrome-android": (
        f"Mozilla/5.0 (Linux; Android 10; K) {_BLINK} Chrome/141.0.0.0 Mobile Safari/537.36"
    ),
    "edge-windows": (
        f"Mozilla/5.0 ({_WINDOWS}) {_BLINK} Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0"
    ),
    "firefox-windows": f"Mozilla/5.0 ({_WINDOWS}; rv:143.0) Gecko/20100101 Firefox/143.0",
    "firefox-linux": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "firefox-android": "Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0",
    "safari-mac": f"Mozilla/5.0 ({_MAC}) {_WEBKIT} Version/18.6 Safari/605.1.15",
    "safari-iphone": (
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_WEBKIT} "
        "Version/18.6 Mobile/15E148 Safari/604.1"
    ),
    "safari-ipad": (
        f"Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) {_WEBKIT} "
        "Version/17.7 Mobile/15E148 Safari/604.1"
    ),
    "samsung": (
        f"Mozilla/5.0 (Linux; Android 10; K) {_BLINK} "
        "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"
    ),
    "curl": "curl/8.14.1",
}
