import { afterEach, expect, test } from "bun:test";
import { AccountApi } from "../../src/fly/account-api.ts";
import { systemClock } from "../../src/fly/api-clock.ts";
import { ApiTransport } from "../../src/fly/api-transport.ts";
import { rejection } from "../support/rejection.ts";
import { json, type ScriptedApi, scriptApi } from "./scripted-api.ts";

let script: ScriptedApi | undefined;
afterEach(async () => script?.close());

const token = "FlyV1 fm2_secretsecretsecret";
const accountOf = (...replies: readonly Response[]): AccountApi => {
  script = scriptApi(replies);
  const options = { base: script.base, token, userAgent: "test/1", clock: systemClock };
  return new AccountApi({ transport: new ApiTransport({ ...options, attemptsMax: 1 }), token });
};

test("readTokens tells apart what is empty and what is absent", async () => {
  const account = accountOf(
    json({
      tokens: [
        { org_slug: "o", user: "", apps: null },
        { organization: "p", apps: ["a"] },
      ],
    }),
    json({}),
    json({ tokens: "many" }),
  );
  expect(await account.readTokens()).toEqual([
    { organisation: "o", apps: [], user: undefined, machine: undefined },
    { organisation: "p", apps: ["a"], user: undefined, machine: undefined },
  ]);
  expect(await account.readTokens()).toEqual([]);
  expect(await rejection(account.readTokens())).toMatchObject({ kind: "malformed" });
});

test("checkMayCreate asks, and its refusal never quotes the token it sent", async () => {
  const denied = json({ error: `not with ${token}` }, { status: 403 });
  const account = accountOf(json({}), denied);
  await account.checkMayCreate("app-a");
  expect(JSON.parse(script?.seen[0]?.body ?? "")).toMatchObject({
    header: "FlyV1 fm2_secretsecretsecret",
    access: { app_name: "app-a" },
  });
  const error = await rejection(account.checkMayCreate("app-a"));
  expect(error).toMatchObject({ kind: "unauthorised", status: 403 });
  expect(error.message).not.toContain("secret");
});

test("readApp has the time of the other side, where it tells it", async () => {
  const date = "Fri, 20 Nov 2026 00:00:30 GMT";
  const account = accountOf(json({ status: "deployed" }, { headers: { date } }));
  expect(await account.readApp("a/b")).toEqual({
    organisation: undefined,
    status: "deployed",
    serverDateMs: Date.parse(date),
  });
  expect(script?.seen[0]?.path).toBe("/v1/apps/a%2Fb");
});
