// What other services verify and sign tokens with.

import { createLocalJWKSet, importPKCS8, jwtVerify, SignJWT } from "jose";
import { serve } from "./lines.mjs";

const bytes = (secret) => new TextEncoder().encode(secret);

await serve({
  // `now` is in seconds; the other options are jwtVerify's.
  verify: async ({ token, jwks, secret, now, ...options }) => {
    const key = jwks ? createLocalJWKSet(jwks) : bytes(secret);
    const currentDate = new Date(now * 1000);
    const { payload, protectedHeader } = await jwtVerify(token, key, { ...options, currentDate });
    return { payload, header: protectedHeader };
  },
  sign: async ({ claims, header, pem, secret }) => {
    const key = pem ? await importPKCS8(pem, header.alg) : bytes(secret);
    return new SignJWT(claims).setProtectedHeader(header).sign(key);
  },
});
