// Answers calls until standard input ends: one JSON object a line, in either direction.

import { createInterface } from "node:readline";

// `functions` maps names to functions of one object, which may be async. What they return must be
// JSON; of what they throw, the message is sent.
export async function serve(functions) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { call, given } = JSON.parse(line);
    let answer;
    try {
      if (!Object.hasOwn(functions, call)) throw new Error(`no function ${call}`);
      answer = { value: await functions[call](given) };
    } catch (error) {
      answer = { error: String(error?.message ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
