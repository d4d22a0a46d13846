// The two versions of iron-session that sites use.

import * as eight from "iron-session-8";
import * as nine from "iron-session-9";
import { serve } from "./lines.mjs";

const versions = { 8: eight, 9: nine };

await serve({
  seal: ({ version, data, password, ttl }) => versions[version].sealData(data, { password, ttl }),
  // It gives {} for most of what it refuses.
  unseal: ({ version, seal, password }) => versions[version].unsealData(seal, { password }),
});
