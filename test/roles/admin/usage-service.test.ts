import { expect, test } from "bun:test";
import { MachinesApiError } from "../../../src/fly/api-error.ts";
import { usageLimits } from "../../../src/roles/admin/usage-limits.ts";
import type { UsageSnapshot } from "../../../src/roles/admin/usage-snapshot.ts";
import { schemaOfUsageFacts } from "./usage-schema.ts";
import { authorised, snapshot, token, usageStage } from "./usage-stage.ts";

const down = async (): Promise<UsageSnapshot> => {
  throw new MachinesApiError("unavailable", "naïve\nfault", {
    action: "list machines",
    status: 503,
    requestId: "01REQUEST",
  });
};

test("a bearer is asked for everywhere, and a refusal says no more than that", async () => {
  const stage = usageStage({ bearer: token });
  for (const path of ["/usage-facts", "/healthz", "/metrics", "/nothing"]) {
    stage.nowMs += 1_000;
    const answer = await stage.get(path);
    expect([path, answer.status]).toEqual([path, 401]);
    expect(await answer.text()).toBe('{"error":"unauthorized"}');
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    expect(answer.headers.get("cache-control")).toBe("no-store");
  }
  expect(stage.loads).toBe(0);
  expect((await stage.get("/usage-facts", authorised)).status).toBe(200);
  expect(await (await stage.get("/healthz", authorised)).text()).toBe("ok");
  expect((await stage.get("/nothing", authorised)).status).toBe(404);
});

test("what is almost the bearer is not", async () => {
  const stage = usageStage({ bearer: token });
  const wrong = [
    "",
    "Bearer",
    "Bearer ",
    token,
    `Basic ${token}`,
    `Bearer ${token}x`,
    `Bearer ${token.slice(0, -1)}`,
    `Bearer  ${token}`,
    `Bearer ${token} x`,
    `Bearer ${token.replace("a", "а")}`,
    `Bearer ${"x".repeat(8_000)}`,
  ];
  for (const authorization of wrong) {
    stage.nowMs += 1_000;
    // As raw bytes, as they would come.
    const raw = Buffer.from(authorization).toString("latin1");
    expect([authorization, (await stage.get("/healthz", { authorization: raw })).status]).toEqual([
      authorization,
      401,
    ]);
  }
  for (const authorization of [`bearer ${token}`, `BEARER ${token}`, `Bearer ${token} `])
    expect((await stage.get("/healthz", { authorization })).status).toBe(200);
  stage.nowMs += 1_000;
  const pair = { authorization: `Bearer ${token}, Bearer ${token}` };
  expect((await stage.get("/healthz", pair)).status).toBe(400);
  for (const path of [`/usage-facts?access_token=${token}`, `/usage-facts?token=${token}`])
    expect((await stage.get(path, { cookie: `token=${token}` })).status).toBe(401);
});

test("whoever is refused too often hears 429, and the bearer still works", async () => {
  const stage = usageStage({ bearer: token });
  const statuses: number[] = [];
  for (let index = 0; index < 12; index += 1) statuses.push((await stage.get("/healthz")).status);
  expect(statuses).toEqual([...Array.from({ length: 10 }, () => 401), 429, 429]);
  expect((await stage.get("/healthz", authorised)).status).toBe(200);
  const elsewhere = new Request("http://localhost/healthz");
  expect((await stage.service.answer(elsewhere, "127.0.0.2")).status).toBe(401);
  stage.nowMs += 1_000;
  expect((await stage.get("/healthz")).status).toBe(401);
  // However many addresses ask, no more than so many are remembered.
  for (let index = 0; index <= usageLimits.sourcesMax + 1; index += 1)
    await stage.service.answer(elsewhere, `source-${index}`);
  expect((await stage.service.answer(elsewhere, "source-0")).status).toBe(401);
});

test("only GET and HEAD, of three paths, without a body or parameters that are not known", async () => {
  const stage = usageStage();
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
    expect((await stage.get("/usage-facts", {}, { method })).status).toBe(405);
  for (const path of [
    "/",
    "//",
    "//usage-facts",
    "/usage-facts/",
    "/usage-facts%2f",
    "/USAGE-FACTS",
  ])
    expect([path, (await stage.get(path)).status]).toEqual([path, 404]);
  for (const path of [
    "/usage-facts?x=1",
    "/usage-facts?since=24h",
    "/usage-facts?since=1h&since=2h",
    "/usage-facts?since=",
    "/usage-facts?until=1h",
    "/healthz?x",
    "/metrics?x",
    `/${"a".repeat(8_192)}`,
  ])
    expect([path, (await stage.get(path)).status]).toEqual([path, 400]);
  const head = await stage.get("/usage-facts", {}, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  expect(Number(head.headers.get("content-length"))).toBeGreaterThan(10);
});

const ask = async (isLoopback: boolean, host: string): Promise<number> => {
  const { service } = usageStage({ isLoopback });
  return (await service.answer(new Request(`http://${host}/healthz`), "::1")).status;
};

test("a name that was bent to loopback is sent away, on loopback alone", async () => {
  for (const host of ["localhost", "127.0.0.1:9090", "[::1]:9090"])
    expect(await ask(true, host)).toBe(200);
  for (const host of ["evil.example", "localhost.evil.example", "10.0.0.1"])
    expect([await ask(true, host), await ask(false, host)]).toEqual([421, 200]);
});

test("all who ask at once, and soon after, share one look at Fly", async () => {
  const stage = usageStage();
  const gate = Promise.withResolvers<UsageSnapshot>();
  stage.outcome = async () => gate.promise;
  const asked = Array.from({ length: 100 }, async () => stage.get("/usage-facts"));
  gate.resolve(snapshot(1));
  for (const answer of await Promise.all(asked)) expect(answer.status).toBe(200);
  stage.nowMs += usageLimits.factsAgeMs - 1;
  const shared = await stage.get("/usage-facts");
  expect([shared.headers.get("age"), stage.loads]).toEqual(["4", 1]);
  stage.nowMs += 1;
  expect((await stage.get("/usage-facts")).headers.get("age")).toBe("0");
  expect(stage.loads).toBe(2);
});

test("while Fly fails the facts before are given out, and say so, for an hour", async () => {
  const stage = usageStage();
  await stage.get("/usage-facts");
  stage.outcome = down;
  stage.nowMs += 60_000;
  const stale = await stage.get("/usage-facts");
  expect(schemaOfUsageFacts.problems(await stale.json())).toEqual([]);
  expect([stale.status, stale.headers.get("age")]).toEqual([200, "60"]);
  expect(stale.headers.get("warning")).toBe('110 - "Response is Stale"');
  expect(stale.headers.get("fly-vault-stale")).toBe(
    "could not list machines: na?ve?fault (request id 01REQUEST)",
  );
  const metrics = await (await stage.get("/metrics")).text();
  expect(metrics).toContain("\nfly_vault_usage_stale 1\n");
  // A failure is shared as well.
  expect(stage.loads).toBe(2);
  stage.nowMs += usageLimits.staleMs;
  const failed = await stage.get("/usage-facts");
  expect([failed.status, failed.headers.get("retry-after")]).toEqual([500, "5"]);
  expect(await failed.json()).toEqual({
    error: "could not list machines: naïve\nfault (request id 01REQUEST)",
  });
  stage.outcome = async () => snapshot(2);
  stage.nowMs += usageLimits.factsAgeMs;
  expect((await stage.get("/usage-facts")).headers.get("warning")).toBeNull();
});

test("nobody waits for ever: late, the facts before are given out, or an error", async () => {
  const stage = usageStage();
  stage.outcome = async () => new Promise(() => undefined);
  expect(await stage.cache.read(1)).toEqual({
    kind: "failure",
    because: "the Machines API takes longer than usual",
  });
  const slow = usageStage();
  await slow.cache.read();
  slow.outcome = async () => new Promise(() => undefined);
  slow.nowMs += 6_000;
  expect(await slow.cache.read(1)).toMatchObject({
    kind: "snapshot",
    ageMs: 6_000,
    staleBecause: "the Machines API takes longer than usual",
  });
});

test("what has not changed is not sent again", async () => {
  const stage = usageStage();
  const first = await stage.get("/usage-facts");
  const etag = first.headers.get("etag") ?? "";
  expect(etag).toMatch(/^W\/"[\w-]{22}"$/);
  stage.nowMs += usageLimits.factsAgeMs;
  for (const header of [etag, `"x", ${etag}`, etag.slice(2), "*"]) {
    const same = await stage.get("/usage-facts", { "if-none-match": header });
    expect([same.status, await same.text(), same.headers.get("etag")]).toEqual([304, "", etag]);
  }
  stage.outcome = async () => snapshot(2);
  stage.nowMs += usageLimits.factsAgeMs;
  const other = await stage.get("/usage-facts", { "if-none-match": etag });
  expect([other.status, other.headers.get("etag") === etag]).toEqual([200, false]);
});

test("long answers are zipped for whoever takes it", async () => {
  const stage = usageStage();
  stage.outcome = async () => snapshot(40);
  const plain = await stage.get("/usage-facts");
  const text = await plain.text();
  for (const coding of ["gzip", "br, gzip;q=0.5", "x-gzip"]) {
    const zipped = await stage.get("/usage-facts", { "accept-encoding": coding });
    expect(zipped.headers.get("content-encoding")).toBe("gzip");
    expect(zipped.headers.get("etag")).toBe(plain.headers.get("etag"));
    expect(Buffer.from(Bun.gunzipSync(await zipped.arrayBuffer())).toString()).toBe(text);
  }
  for (const coding of ["br", "gzip;q=0", "identity"]) {
    const answer = await stage.get("/usage-facts", { "accept-encoding": coding });
    expect([answer.headers.get("content-encoding"), answer.headers.get("vary")]).toEqual([
      null,
      "accept-encoding",
    ]);
  }
});

test("metrics are Prometheus' text, labels quoted", async () => {
  const stage = usageStage();
  stage.outcome = async () => snapshot(2);
  const answer = await stage.get("/metrics");
  expect(answer.headers.get("content-type")).toContain("version=0.0.4");
  const text = await answer.text();
  for (const line of [
    "# TYPE fly_vault_usage_machines gauge",
    'fly_vault_usage_machines{tenant="ac\\"me",state="started",region="ord"} 2',
    'fly_vault_usage_memory_mebibytes{tenant="ac\\"me",state="started"} 1024',
    'fly_vault_usage_volume_gibibytes{tenant="ac\\"me"} 60',
    "fly_vault_usage_stale 0",
    'fly_vault_usage_reads_total{outcome="ok"} 1',
  ])
    expect(text.split("\n")).toContain(line);
  expect(text).not.toContain("\n\n");
});
