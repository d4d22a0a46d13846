// Sites with one page of their own, in Node; all others are Django's, behind the same address.

import { mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { fileURLToPath, pathToFileURL } from "node:url";
import { serve } from "./lines.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PACKAGES = fileURLToPath(new URL("../../node_modules/", import.meta.url));

function passOn(req, res, address) {
  const { method, headers } = req;
  // Django's server of development ends each connection; an agent would use some once more.
  const options = { method, headers, agent: false };
  const there = request(new URL(req.url, address), options, (answer) => {
    res.writeHead(answer.statusCode, answer.headers);
    answer.pipe(res);
  });
  there.on("error", (error) => res.writeHead(502).end(String(error)));
  req.pipe(there);
}

// A module finds "iron-session" beside itself, in the version that it is tested with.
async function load(code, version) {
  const folder = await mkdtemp(`${HERE}site-`);
  await mkdir(`${folder}/node_modules`);
  await symlink(`${PACKAGES}iron-session-${version}`, `${folder}/node_modules/iron-session`, "junction");
  await writeFile(`${folder}/cart.mjs`, code);
  return import(pathToFileURL(`${folder}/cart.mjs`));
}

await serve({
  // Answers with the port. `code` is a module that exports `cart`, the handler of /cart.
  start: async ({ code, version, environment, django }) => {
    Object.assign(process.env, environment);
    const { cart } = await load(code, version);
    const server = createServer(async (req, res) => {
      try {
        await (req.url === "/cart" ? cart(req, res) : passOn(req, res, django));
      } catch (error) {
        res.writeHead(500).end(String(error?.stack ?? error));
      }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server.address().port;
  },
});
process.exit(); // whoever is still connected
