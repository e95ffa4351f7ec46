import { expect, test } from "bun:test";
import { checkStrength, readBearer } from "../../../src/roles/admin/usage-bearer.ts";
import { usageLimits } from "../../../src/roles/admin/usage-limits.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { rejection } from "../../support/rejection.ts";
import { token } from "./usage-stage.ts";

const read = async (flags: { word?: string; file?: string }, env: Record<string, string> = {}) => {
  const context = memoryContext({ env, stdin: [Buffer.from(`${token}\n`)] });
  const bearer = await readBearer(
    { "bearer-token": flags.word, "bearer-token-file": flags.file },
    context,
  );
  return { works: bearer?.admits(`Bearer ${token}`), err: context.err() };
};

test("a bearer that cannot be sent is refused, and one said as a word is warned about", async () => {
  expect(await read({})).toEqual({ works: undefined, err: "" });
  expect(await read({ file: "-" })).toEqual({ works: true, err: "" });
  expect((await read({ word: token })).err).toContain("others can read --bearer-token with ps");
  const env = { FLY_VAULT_BEARER_TOKEN: token };
  expect(await read({ word: token }, env)).toEqual({ works: true, err: "" });
  expect(
    (
      await read(
        { word: "another bearer of the shell", file: "-" },
        {
          FLY_VAULT_BEARER_TOKEN: "another bearer of the shell",
        },
      )
    ).works,
  ).toBe(true);
  const long = "x".repeat(usageLimits.bearerCharactersMax + 1);
  for (const word of ["", `${token} x`, `${token},x`, `${token}é`, long])
    expect(await rejection(read({ word }))).toMatchObject({ code: "FV-CLI-001" });
  const both = await rejection(read({ word: token, file: "-" }));
  expect(both.message).toContain("exclude each other");
});

test("a short bearer is warned about on loopback, as the first fly-vault-admin took it, and refused elsewhere", async () => {
  const context = memoryContext({ env: {} });
  const flags = { "bearer-token": "secret", "bearer-token-file": undefined };
  const bearer = await readBearer(flags, context);
  if (bearer === undefined) throw new Error("there is no bearer");
  expect([bearer.admits("Bearer secret"), bearer.admits("Bearer secre")]).toEqual([true, false]);
  await checkStrength(bearer, true, context);
  expect(context.err()).toContain("warning: the bearer token has fewer than 16 characters");
  const refused = await rejection(checkStrength(bearer, false, context));
  expect(refused).toMatchObject({ code: "FV-CLI-001" });
  const long = await readBearer({ ...flags, "bearer-token": token }, memoryContext({ env: {} }));
  expect(long?.isWeak).toBe(false);
});
