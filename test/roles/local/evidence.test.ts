import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { type Json, openStage, type Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => stage.close(), 60_000);

const ask = async (on: Stage, machineId: string, body: string, path = "/v1/tokens/oidc") =>
  fetch(`http://localhost${path}`, {
    unix: join(on.dir, "machines", machineId, "api"),
    method: "POST",
    body,
  });

const page = async (path: string): Promise<Json> =>
  (await fetch(`${stage.server.issuer}/.well-known/${path}`)).json();

const kid = (text: string) => decodeProtectedHeader(text).kid;
const kids = async () => (await page("jwks")).keys.map((each: { kid: string }) => each.kid);
const path = (id: string) => `/v1/apps/app-a/machines/${id}`;

test("the socket gives a bare token with Fly's claims, which the published keys verify", async () => {
  const made = await stage.machine({ image: "registry.fly.io/a/init:7" }, { name: "m-one" });
  const reply = await ask(stage, made.id, JSON.stringify({ aud: "channel-1" }));
  expect(reply.status).toBe(200);
  expect(reply.headers.get("content-type")).toStartWith("text/plain");
  const discovery = await page("openid-configuration");
  expect(discovery).toMatchObject({
    issuer: stage.server.issuer,
    id_token_signing_alg_values_supported: ["RS256"],
    jwks_uri: `${stage.server.issuer}/.well-known/jwks`,
  });
  const keys = createLocalJWKSet(await page("jwks"));
  const { payload, protectedHeader } = await jwtVerify(await reply.text(), keys, {
    issuer: stage.server.issuer,
    audience: "channel-1",
    algorithms: ["RS256"],
  });
  expect(protectedHeader.alg).toBe("RS256");
  expect(payload).toMatchObject({
    sub: "local:app-a:m-one",
    org_name: "local",
    app_name: "app-a",
    machine_id: made.id,
    machine_name: "m-one",
    machine_version: made.version,
    region: "iad",
    image: "registry.fly.io/a/init:7",
    image_digest: made.image_ref.digest,
  });
  expect(payload["org_id"]).toMatch(/^\d+$/);
  expect(payload["app_id"]).toMatch(/^\d+$/);
  expect(payload.jti).toMatch(/^[0-9a-f-]{36}$/);
  expect(payload.nbf).toBe(payload.iat);
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(600);
  const [jwk] = (await page("jwks")).keys;
  expect(Buffer.from(jwk.n, "base64url").length).toBe(256);
  expect(Object.keys(jwk).toSorted()).toEqual(["alg", "e", "kid", "kty", "n", "use"]);
});

test("without an audience it is the organisation's; a bad one is refused", async () => {
  const { id } = await stage.machine();
  const claims = JSON.parse(
    Buffer.from(
      (await (await ask(stage, id, "")).text()).split(".")[1] ?? "",
      "base64url",
    ).toString(),
  );
  expect(claims.aud).toBe("https://fly.io/local");
  const tooLong = "x".repeat(localLimits.audienceBytesMax + 1);
  for (const body of ["{", '{"aud":1}', '{"aud":""}', JSON.stringify({ aud: tooLong })]) {
    expect([body.slice(0, 20), (await ask(stage, id, body)).status]).toEqual([
      body.slice(0, 20),
      400,
    ]);
  }
});

test("rotation: a new key signs, the old one still verifies, unless it is dropped", async () => {
  const { id } = await stage.machine();
  const token = async () => (await ask(stage, id, '{"aud":"a"}')).text();
  const before = await token();
  const rotated = await stage.call("POST", "/local/v1/rotate-keys", {});
  const after = await token();
  expect(kid(after)).toBe(rotated.json.kid);
  expect(await kids()).toEqual(expect.arrayContaining([kid(before), kid(after)]));
  for (let round = 0; round < localLimits.signingKeysMax; round += 1) {
    await stage.call("POST", "/local/v1/rotate-keys", {});
  }
  expect((await kids()).length).toBe(localLimits.signingKeysMax);
  expect(await kids()).not.toContain(kid(before));
  const last = await stage.call("POST", "/local/v1/rotate-keys", { drop_old: true });
  expect(await kids()).toEqual([last.json.kid]);
});

test("tokens are limited as on Fly: a burst, then one a second", async () => {
  let nowMs = 0;
  const slow = await openStage({
    evidencePace: { perSecond: 1, burst: 3 },
    monotonicMs: () => nowMs,
  });
  try {
    const { id } = await slow.machine();
    const other = await slow.machine();
    const status = async (machine: string) => (await ask(slow, machine, "{}")).status;
    const burst = [await status(id), await status(id), await status(id), await status(id)];
    expect(burst).toEqual([200, 200, 200, 429]);
    expect(await status(other.id)).toBe(200);
    nowMs += 1_000;
    expect([await status(id), await status(id)]).toEqual([200, 429]);
  } finally {
    await slow.close();
  }
}, 120_000);

test("through its socket a machine reads and stops itself, and nobody else", async () => {
  const own = await stage.machine();
  const other = await stage.machine();
  const unix = join(stage.dir, "machines", own.id, "api");
  const read = await fetch(`http://localhost${path(own.id)}`, { unix });
  expect(((await read.json()) as { id: string }).id).toBe(own.id);
  expect((await fetch(`http://localhost${path(other.id)}`, { unix })).status).toBe(403);
  expect((await fetch("http://localhost/v1/apps/app-a/machines", { unix })).status).toBe(403);
  expect((await ask(stage, own.id, "", `${path(other.id)}/stop`)).status).toBe(403);
  expect((await ask(stage, own.id, "", `${path(own.id)}/stop`)).status).toBe(200);
  await stage.reach(own.id, "stopped");
});

test("what a machine asks its socket can go wrong too", async () => {
  const { id } = await stage.machine({}, { name: "unlucky" });
  const call = "POST /v1/tokens/oidc";
  const machine = "unlucky";
  stage.server.faults.install({
    faults: [
      { call, machine, do: { kind: "throttle", retryAfter: 1 } },
      { call, machine, do: { kind: "cut", bytes: 20 } },
      { call, machine, do: { kind: "drop" } },
    ],
  });
  try {
    expect((await ask(stage, id, "{}")).headers.get("retry-after")).toBe("1");
    expect(ask(stage, id, "{}").then(async (reply) => reply.text())).rejects.toThrow();
    expect(ask(stage, id, "{}")).rejects.toThrow();
    expect((await ask(stage, id, "{}")).status).toBe(200);
    const faults = stage.server.calls.rows
      .filter(({ params }) => params["id"] === id)
      .map((row) => row.fault);
    expect(faults).toEqual(["throttle", "cut", "drop", undefined]);
  } finally {
    stage.server.faults.clear();
  }
});
