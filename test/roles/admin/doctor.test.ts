import { afterEach, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { main } from "../../../src/roles/admin/main.ts";
import { isUtf8Locale } from "../../../src/cli/symbols.ts";
import { json, type ScriptedApi, type SeenRequest, scriptApi } from "../../fly/scripted-api.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { type AdminStage, openAdminStage } from "./stage.ts";
import { jsonOutputs } from "../../../src/roles/admin/json-outputs.ts";
import { checkPrintedJson } from "../../support/printed-json.ts";

const scripted: ScriptedApi[] = [];
let stage: AdminStage | undefined;
afterEach(async () => {
  await Promise.all(scripted.splice(0).map(async (each) => each.close()));
  await stage?.close();
  stage = undefined;
}, 120_000);

const nowMs = Date.parse("2026-11-20T00:00:30Z");
const token = "fm2_secretsecretsecret";
const machine = (more: Record<string, unknown> = {}) => ({
  id: "a1",
  state: "started",
  created_at: "2026-11-01T00:00:00Z",
  updated_at: "2026-11-01T00:00:00Z",
  image_ref: { digest: "sha256:one" },
  config: {
    env: { ACCESS_TOKEN: "x" },
    metadata: { "fly_vault.managed_by": "fly-vault-admin", "fly_vault.tenant_id": "acme" },
  },
  ...more,
});

type Routes = Readonly<Record<string, Response | undefined>>;
/** An API that answers well, but for what `routes` say. */
const doctor = async (
  routes: Routes = {},
  words: readonly string[] = [],
  env: Record<string, string> = {},
) => {
  const answers: Routes = {
    "GET /v1/tokens/current": json({ tokens: [{ org_slug: "acme-org", apps: ["app-a"] }] }),
    "POST /v1/tokens/authorize": json({ access: {} }),
    "GET /v1/apps/app-a": json(
      { status: "deployed", organization: { slug: "acme-org" } },
      { headers: { date: "Fri, 20 Nov 2026 00:00:30 GMT" } },
    ),
    "GET /v1/apps/app-a/machines": json([machine()]),
    "GET /v1/apps/app-a/volumes": json([]),
    ...routes,
  };
  const script = scriptApi([
    ({ method, path }: SeenRequest) =>
      (answers[`${method} ${path}`]?.clone() as Response | undefined) ??
      json({ error: "404 page not found" }, { status: 404 }),
  ]);
  scripted.push(script);
  const context = memoryContext({
    env: { FLY_API_BASE: script.base, FLY_API_TOKEN: token, FLY_APP: "app-a", ...env },
  });
  const exitCode = await main(["doctor", ...words], { ...context, wallMs: () => nowMs });
  checkPrintedJson(jsonOutputs, ["doctor", ...words], context.out());
  expect(context.out() + context.err()).not.toContain("secretsecret");
  return { exitCode, out: context.out(), script };
};
/** Status and name of each check, and all that was said of one. */
const checks = async (...of: Parameters<typeof doctor>) => {
  const { exitCode, out } = await doctor(of[0], ["--json", ...(of[1] ?? [])], of[2]);
  const lines = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return {
    exitCode,
    result: lines.at(-1),
    about: (name: string) => lines.find((line) => line["name"] === name),
    statuses: Object.fromEntries(
      lines.slice(0, -1).map((line) => [String(line["name"]), line["status"]]),
    ),
  };
};
const refusal = (status: number) => json({ error: "no" }, { status });

test("all is well: a line a check, in order, and nothing is changed", async () => {
  const { exitCode, out, script } = await doctor({}, [], { LANG: "C.UTF-8" });
  expect(exitCode).toBe(0);
  expect(out.replaceAll(/\(\d+ ms\)|at http:\S+|\(bun [^)]*\)/g, "…").split("\n")).toEqual([
    '✓ configuration: app "app-a" … …',
    "✓ API token: accepted: for app app-a of organisation acme-org …",
    '✓ app: "app-a" is there in organisation acme-org, deployed …',
    "✓ right to list machines: 1 machine …",
    "✓ right to list volumes: 0 volumes …",
    "✓ right to make machines: Fly would let this token make, change and remove them …",
    "✓ clock: within 5 s of the API's …",
    "✓ rate limits: none of 6 calls was held back …",
    "- proxies' key file: none is named (--key-file, FLY_VAULT_PROXY_KEY_FILE) …",
    "✓ machines: no trouble known of 1 machine …",
    "✓ orphans: none …",
    "✓ versions: fly-vault-admin 0.1.0 …; image sha256:one …",
    "",
  ]);
  const changes = script.seen.filter(
    ({ method, path }) => method !== "GET" && !path.includes("tokens"),
  );
  expect(changes).toEqual([]);
  const authorize = script.seen.find(({ path }) => path === "/v1/tokens/authorize");
  expect(JSON.parse(authorize?.body ?? "")).toEqual({
    header: `FlyV1 ${token}`,
    access: { app_name: "app-a", action: "rwcd" },
  });
});

test("in other locales the symbols are words, and what failed has a fix below it", async () => {
  const { exitCode, out } = await doctor({ "GET /v1/apps/app-a": undefined }, [], { LANG: "C" });
  expect(exitCode).toBe(1);
  expect(out).toMatch(
    /^FAIL app: there is no app "app-a" \(\d+ ms\)\n {5}fix: fly apps create app-a/m,
  );
  expect(out).toMatch(/^skip machines: not looked at/m);
  expect(out).toMatch(/^ok {3}versions: /m);
  expect(isUtf8Locale({ LC_ALL: "C", LANG: "en_GB.UTF-8" })).toBe(false);
  expect(isUtf8Locale({ LC_ALL: "", LANG: "en_GB.utf8" })).toBe(true);
  expect(isUtf8Locale({})).toBe(false);
});

test("as JSON: a line a check, and the result", async () => {
  const { result, about, exitCode } = await checks({}, [], { LANG: "C" });
  expect(about("app")).toEqual({
    type: "check",
    name: "app",
    status: "ok",
    detail: expect.any(String),
    fix: null,
    more: [],
    duration_ms: expect.any(Number),
  });
  expect([exitCode, result]).toEqual([
    0,
    {
      type: "result",
      schema: "fly-vault/doctor",
      version: 1,
      ok: true,
      checks: 12,
      failed: 0,
      warnings: 0,
    },
  ]);
});

test("the token: refused, of another app, a person's, of a machine, of a kind that is not told", async () => {
  const refused = await checks({ "GET /v1/tokens/current": refusal(401) });
  expect(refused.about("token")).toMatchObject({
    status: "failed",
    fix: "fly tokens create deploy --app app-a, and set FLY_API_TOKEN",
  });
  expect([refused.exitCode, refused.statuses["app"], refused.statuses["key-file"]]).toEqual([
    1,
    "skipped",
    "skipped",
  ]);
  const told = async (tokens: unknown) =>
    (await checks({ "GET /v1/tokens/current": json({ tokens }) })).about("token");
  expect(await told([{ apps: ["other"] }])).toMatchObject({ status: "failed" });
  expect(await told([{ apps: ["other"] }, { apps: ["app-a"] }])).toMatchObject({ status: "ok" });
  expect(await told([{ user: "u", org_slug: "o", apps: [] }])).toMatchObject({
    status: "warning",
    detail: "accepted: of a person of organisation o",
  });
  expect(await told([{ org_slug: "o" }])).toMatchObject({
    detail: "accepted: for all apps of organisation o",
  });
  expect(await told([{ restricted_to_machine: "m1", user: "" }])).toMatchObject({
    status: "ok",
    detail: "accepted: of machine m1",
  });
  expect(await told(null)).toMatchObject({ detail: "accepted: Fly names no kind" });
  const untold = await checks({ "GET /v1/tokens/current": undefined });
  expect([untold.statuses["token"], untold.statuses["app"]]).toEqual(["skipped", "ok"]);
});

test("rights: what may not be listed or made fails, what cannot be told does not", async () => {
  const { statuses, about, exitCode } = await checks({
    "GET /v1/apps/app-a/machines": refusal(403),
    "POST /v1/tokens/authorize": refusal(403),
  });
  expect(exitCode).toBe(1);
  expect(statuses).toMatchObject({
    "list-machines": "failed",
    "list-volumes": "ok",
    "create-machines": "failed",
    machines: "skipped",
    orphans: "skipped",
    versions: "ok",
  });
  expect(about("create-machines")).toMatchObject({
    fix: "a token that may: fly tokens create deploy --app app-a",
  });
  for (const answer of [undefined, refusal(400), refusal(401)])
    expect(await checks({ "POST /v1/tokens/authorize": answer })).toMatchObject({
      exitCode: 0,
      statuses: { "create-machines": "skipped" },
    });
  const other = await checks({ "GET /v1/apps/app-a": refusal(403) });
  expect(other.about("app")).toMatchObject({
    status: "failed",
    fix: "it may be of another organisation: check --app and the token",
  });
});

const clockAt = async (date: string) => {
  const { about } = await checks({ "GET /v1/apps/app-a": json({}, { headers: { date } }) });
  return about("clock");
};

test("the clock: seconds are a warning, a minute is a failure", async () => {
  expect(await clockAt("Fri, 20 Nov 2026 00:00:26 GMT")).toMatchObject({ status: "ok" });
  expect(await clockAt("Fri, 20 Nov 2026 00:00:00 GMT")).toMatchObject({
    status: "warning",
    detail: "30 s ahead of the API's",
  });
  expect(await clockAt("Fri, 20 Nov 2026 00:02:30 GMT")).toMatchObject({
    status: "failed",
    detail: "121 s behind the API's",
    fix: "set the clock: timedatectl set-ntp true",
  });
  expect(await clockAt("whenever")).toMatchObject({ status: "skipped" });
});

test("machines in trouble are named, each with what is wrong", async () => {
  const minutesAgo = (minutes: number): string => new Date(nowMs - minutes * 60_000).toISOString();
  const exit = (minutes: number, more: object = {}) => ({
    timestamp: nowMs - minutes * 60_000,
    request: { exit_event: { requested_stop: false, ...more } },
  });
  const troubled = [
    { id: "a0" },
    { id: "a1", state: "failed" },
    { id: "a2", state: "starting", updated_at: minutesAgo(6) },
    { id: "a3", state: "starting", updated_at: minutesAgo(4) },
    { id: "a4", state: "updating", updated_at: minutesAgo(11) },
    { id: "a5", host_status: "unreachable", config: null, incomplete_config: machine().config },
    { id: "a6", checks: [{ status: "critical" }, { status: "passing" }] },
    { id: "a7", events: [exit(5), exit(10), exit(20), exit(90)] },
    { id: "a8", events: [exit(5), exit(10), exit(5, { requested_stop: true })] },
    { id: "a9", events: [exit(5, { oom_killed: true })] },
    { id: "b0", cordoned: true, lease: { expires_at: nowMs / 1_000 + 30 } },
    { id: "b1", config: { metadata: machine().config.metadata } },
    { id: "b2", state: "destroyed", cordoned: true },
    { id: "b3", cordoned: true, config: {} },
  ].map(machine);
  const { about, exitCode } = await checks({ "GET /v1/apps/app-a/machines": json(troubled) });
  expect(exitCode).toBe(0);
  expect(about("machines")).toMatchObject({
    status: "warning",
    detail: "10 troubles of 12 machines",
    more: [
      "machine a1 (acme) has failed",
      "machine a2 (acme) has been starting for 6 minutes",
      "machine a4 (acme) has been updating for 11 minutes",
      "machine a5 (acme) is on a host whose state is unreachable",
      "machine a6 (acme) fails 1 of 2 health checks",
      "machine a7 (acme) ended by itself 3 times in an hour",
      "machine a9 (acme) ran out of memory within the last hour",
      "machine b0 (acme) is cordoned: nothing is sent to it",
      "machine b0 (acme) is under a lease for another 30 s",
      "machine b1 (acme) has no ACCESS_TOKEN, so it lets nobody in",
    ],
  });
  expect(about("orphans")).toMatchObject({
    status: "warning",
    detail: "1 thing that no tenant owns",
    fix: "fly-vault-admin orphans --app app-a",
  });
  const many = Array.from({ length: 30 }, (_, index) =>
    machine({ id: `m${index}`, state: "failed" }),
  );
  const long = (await checks({ "GET /v1/apps/app-a/machines": json(many) })).about("machines");
  expect(long?.["more"]).toEqual(expect.arrayContaining(["and 10 more"]));
});

test("machines of several images are noticed", async () => {
  const two = [machine(), machine({ id: "a2", image_ref: { digest: "sha256:two" } })];
  const { about } = await checks({ "GET /v1/apps/app-a/machines": json(two) });
  expect(about("versions")).toMatchObject({
    status: "warning",
    more: ["1 of them: sha256:one", "1 of them: sha256:two"],
  });
});

test("without a token or an app, or with a file that cannot be read, that is what is told", async () => {
  for (const [env, fix] of [
    [{ FLY_API_TOKEN: "" }, "set FLY_API_TOKEN"],
    [{ FLY_APP: "Not An App" }, "doctor --help"],
    [{ FLY_API_BASE: "http://example.com" }, "doctor --help"],
  ] as const) {
    const { exitCode, about, statuses } = await checks({}, [], env);
    expect([exitCode, Object.keys(statuses)]).toEqual([1, ["configuration", "key-file"]]);
    expect(about("configuration")).toMatchObject({
      status: "failed",
      fix: expect.stringContaining(fix),
    });
  }
});

test("a small Fly is well, and key and token files are looked at", async () => {
  stage = await openAdminStage();
  const on = stage;
  await on.admin("tenant", "create", "acme", "--template", on.template);
  const keyFile = `${on.dir}/proxy.key`;
  await on.admin("proxy-key", "new", "--key-file", keyFile);
  const good = await on.admin("doctor", "--key-file", keyFile);
  expect([good.exitCode, good.err]).toEqual([0, ""]);
  expect(good.out).toContain("has the master of epoch 0");
  expect(good.out).toMatch(/^(?:ok  |skip) API token: /m);
  expect(good.out).toContain("ok   machines: no trouble known of 1 machine");
  expect(good.out).not.toContain("FAIL");
  chmodSync(keyFile, 0o644);
  const tokenFile = on.write("api-token", on.fly.apiToken);
  chmodSync(tokenFile, 0o644);
  const bad = await on.admin("doctor", "--key-file", keyFile, "--api-token-file", tokenFile);
  expect(bad.exitCode).toBe(1);
  expect(bad.out).toMatch(/^warn configuration: .*others can read the token file, mode 0644/m);
  expect(bad.out).toMatch(/^FAIL proxies' key file: others can read .*\n {5}fix: chmod 600 /m);
});

test("the second Ctrl-C finds nobody listening, and ends the program as it always does", async () => {
  const script = scriptApi([async () => new Promise<Response>(() => undefined)]);
  scripted.push(script);
  const env = { FLY_API_BASE: script.base, FLY_API_TOKEN: token, FLY_APP: "app-a" };
  const context = memoryContext({ env });
  let listening = 0;
  const onStop: typeof context.onStop = (listener) => {
    listening += 1;
    const unsubscribe = context.onStop(listener);
    return () => {
      listening -= 1;
      unsubscribe();
    };
  };
  const exit = main(["doctor"], { ...context, onStop });
  while (script.seen.length === 0) await Bun.sleep(5);
  expect(listening).toBeGreaterThan(0);
  context.stop("SIGINT");
  expect([await exit, listening]).toEqual([130, 0]);
});
