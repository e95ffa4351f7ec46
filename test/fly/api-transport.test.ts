import { afterEach, expect, test } from "bun:test";
import { MachinesApiError } from "../../src/fly/api-error.ts";
import { apiLimits } from "../../src/fly/api-limits.ts";
import { MachinesApi } from "../../src/fly/machines-api.ts";
import { freePort } from "../support/free-port.ts";
import { json, machineJson, scriptApi, type ScriptedApi } from "./scripted-api.ts";

const open: ScriptedApi[] = [];
const script = (...given: Parameters<typeof scriptApi>): ScriptedApi => {
  const scripted = scriptApi(...given);
  open.push(scripted);
  return scripted;
};
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function failure(work: Promise<unknown>): Promise<MachinesApiError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof MachinesApiError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}

const id = "148e21ea7e46e8";
const status = (code: number, body = "", headers: Record<string, string> = {}) =>
  new Response(body, { status: code, headers });

test("requests carry token, agent, JSON and what the server set as cookies", async () => {
  const { api, seen } = script(
    [
      json([], { headers: { "set-cookie": "fly-machines-api=node-7; Path=/" } }),
      json(machineJson()),
    ],
    { token: "Bearer FlyV1 fm2_abc" },
  );
  await api.listMachines({ "fly_vault.tenant_id": "acme" });
  await api.createMachine({ config: { image: "i" } });
  expect(seen[0]?.headers.get("authorization")).toBe("FlyV1 fm2_abc");
  expect(seen[0]?.headers.get("user-agent")).toBe("test/1");
  expect(seen[0]?.query.get("metadata.fly_vault.tenant_id")).toBe("acme");
  expect(seen[1]?.headers.get("cookie")).toBe("fly-machines-api=node-7");
  expect(seen[1]?.headers.get("content-type")).toBe("application/json");
  expect(JSON.parse(seen[1]?.body ?? "")).toEqual({ config: { image: "i" } });
});

test("members we do not know survive the round trip", async () => {
  const strange = { ...machineJson(), config: { image: "i", invented: { deep: [1] } }, new: null };
  const { api } = script([json(strange)]);
  expect(await api.readMachine(id)).toEqual(strange as never);
});

test("reads are repeated after 500, 502, 503, 504 and 429, with growing jittered pauses", async () => {
  const { api, seen, slept } = script([
    status(500),
    status(502, "<html>bad gateway</html>"),
    status(503),
    status(429),
    json(machineJson()),
  ]);
  expect((await api.readMachine(id)).id).toBe(id);
  expect(seen.length).toBe(5);
  expect(slept).toEqual([400, 800, 1_600, 3_200]);
});

test("Retry-After is obeyed, and a long one is told rather than waited for", async () => {
  const { api, slept } = script([
    status(429, "", { "retry-after": "0" }),
    status(429, "", { "retry-after": "5" }),
    status(429, "", { "retry-after": String(apiLimits.retryAfterMsMax / 1_000) }),
    status(429, '{"error":"slow down"}', { "retry-after": "3600" }),
  ]);
  const error = await failure(api.readMachine(id));
  expect(slept).toEqual([400, 5_800, apiLimits.retryAfterMsMax + 1_600]);
  expect(error.message).toBe("slow down; it asks to come back after 3600 s");
});

test("a read gives up after so many attempts, and names status, request id and words", async () => {
  const { api, seen } = script([
    status(503, '{"error":"host down"}', { "fly-request-id": "01ABC-lhr" }),
  ]);
  const error = await failure(api.readMachine(id));
  expect(seen.length).toBe(apiLimits.attemptsMax);
  expect(error).toMatchObject({
    kind: "unavailable",
    message: "host down",
    status: 503,
    requestId: "01ABC-lhr",
    action: "read machine",
  });
});

test.each([
  // Half of the bound of 100 s: the pauses here are as long as on average.
  ["without Retry-After", {}, apiLimits.throttledAttemptsMax, 50_000],
  ["with one", { "retry-after": "1" }, apiLimits.attemptsMax, 15_000],
  // A rate that others of the app use up is waited for longer than a failure.
])("429 without end, %s", async (_title, headers, attempts, sleptMs) => {
  const { api, seen, slept } = script([status(429, "", headers)]);
  expect((await failure(api.readMachine(id))).kind).toBe("rate-limited");
  expect(seen.length).toBe(attempts);
  expect(slept.length).toBe(attempts - 1);
  expect(slept.reduce((sum, ms) => sum + ms, 0)).toBe(sleptMs);
});

test("refusals and failures are counted apart", async () => {
  const refused = Array.from({ length: apiLimits.attemptsMax }, () => status(429));
  const { api, seen } = script([...refused, status(503), json(machineJson())]);
  expect((await api.readMachine(id)).id).toBe(id);
  expect(seen.length).toBe(apiLimits.attemptsMax + 2);
  const endless = script([...refused, status(503)]);
  expect((await failure(endless.api.readMachine(id))).kind).toBe("unavailable");
  expect(endless.seen.length).toBe(2 * apiLimits.attemptsMax);
});

test("whoever asks again by himself limits the attempts, and hears of each", async () => {
  const heard: string[] = [];
  const { api, seen } = script([status(503), status(503), json(machineJson())], {
    attemptsMax: 2,
    observe: (action, outcome) => heard.push(`${action}: ${outcome}`),
  });
  expect((await failure(api.readMachine(id))).kind).toBe("unavailable");
  expect(seen.length).toBe(2);
  await api.readMachine(id);
  expect(heard).toEqual([
    "read machine: unavailable",
    "read machine: unavailable",
    "read machine: ok",
  ]);
});

test("creating is not repeated after 5xx or a lost answer, but is after 429", async () => {
  for (const reply of [status(500), status(504), status(408)]) {
    const { api, seen } = script([reply, json(machineJson())]);
    const error = await failure(api.createMachine({ config: {} }));
    expect(error.isOutcomeUnknown).toBe(true);
    expect(seen.length).toBe(1);
  }
  const { api, seen } = script([status(429), json(machineJson())]);
  await api.createMachine({ config: {} });
  expect(seen.length).toBe(2);
});

test("what twice is as good as once is repeated: stop, cordon, delete", async () => {
  const { api, seen } = script([status(504), json({ ok: true })]);
  await api.stopMachine(id);
  expect(seen.length).toBe(2);
});

test("400, 401, 404, 409 are answers, not reasons to try again", async () => {
  for (const code of [400, 401, 403, 404, 409, 412, 422]) {
    const { api, seen } = script([status(code, '{"error":"no"}')]);
    expect((await failure(api.readMachine(id))).status).toBe(code);
    expect(seen.length).toBe(1);
  }
});

test("the words of an error come from message, error, or plain text; never the token", async () => {
  const token = "fm2_very_secret_token";
  const cases = [
    ['{"status":"error","message":"lease held"}', "lease held"],
    ['{"error":"bad image"}', "bad image"],
    ['{"error":{"odd":1}}', '{"error":{"odd":1}}'],
    ["<html><body>Bad   Request</body></html>", "Bad Request"],
    ["", "no reason given"],
    [`{"error":"token ${token} is wrong"}`, "token … is wrong"],
    [`{"error":"${"x".repeat(5_000)}"}`, "x".repeat(apiLimits.quotedCharactersMax)],
  ];
  for (const [body = "", words = ""] of cases) {
    const { api } = script([status(400, body)], { token });
    expect((await failure(api.readMachine(id))).message).toBe(words);
  }
});

test("answers that are no JSON, of a wrong shape, or too long are malformed", async () => {
  const cut = JSON.stringify(machineJson()).slice(0, -5);
  for (const body of [
    cut,
    "[]",
    "null",
    '{"id":1,"state":"started"}',
    '{"id":"../x","state":""}',
  ]) {
    const { api } = script([status(200, body, { "fly-request-id": "R" })]);
    expect(await failure(api.readMachine(id))).toMatchObject({ kind: "malformed", requestId: "R" });
  }
  const huge = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(1 << 20).fill(0x20)),
  });
  const { api } = script([new Response(huge)]);
  const error = await failure(api.createMachine({ config: {} }));
  expect(error.message).toContain("longer than");
});

test("a redirect is not followed: the token stays where it was meant to go", async () => {
  const { api, seen } = script([status(302, "", { location: "http://127.0.0.1:1/steal" })]);
  expect((await failure(api.readMachine(id))).status).toBe(302);
  expect(seen.length).toBe(1);
});

test("a refused connection is tried again and then said to have done nothing", async () => {
  const base = `http://127.0.0.1:${freePort()}`;
  const slept: number[] = [];
  const api = new MachinesApi({
    base,
    token: "t",
    app: "a",
    userAgent: "x",
    clock: {
      monotonicMs: () => 0,
      sleep: async (ms) => void slept.push(ms),
      random: () => 0,
    },
  });
  const error = await failure(api.createMachine({ config: {} }));
  expect([error.kind, error.isOutcomeUnknown]).toEqual(["unreachable", false]);
  expect(slept.length).toBe(apiLimits.connectAttemptsMax - 1);
});

/** How creating fails there. */
const kindAt = async (base: string): Promise<string> => {
  const clock = { monotonicMs: () => 0, sleep: async () => undefined, random: () => 0 };
  const api = new MachinesApi({ base, token: "t", app: "a", userAgent: "x", clock });
  return (await failure(api.createMachine({ config: {} }))).kind;
};

test("no such host: nothing was done; no TLS there, or a connection reset: nobody knows", async () => {
  const plain = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const resetting = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => socket.terminate() },
  });
  expect(await kindAt("http://no-such-host.invalid")).toBe("unreachable");
  expect(await kindAt(`https://127.0.0.1:${plain.port}`)).toBe("lost");
  expect(await kindAt(`http://127.0.0.1:${resetting.port}`)).toBe("lost");
  await plain.stop(true);
  resetting.stop(true);
});

test("a connection cut in the middle leaves the outcome unknown", async () => {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket) => {
        socket.write("HTTP/1.1 200 OK\r\nfly-request-id: R1\r\ncontent-length: 100\r\n\r\n{");
        socket.end();
      },
    },
  });
  const api = new MachinesApi({
    base: `http://127.0.0.1:${server.port}`,
    token: "t",
    app: "a",
    userAgent: "x",
  });
  const error = await failure(api.createMachine({ config: {} }));
  expect([error.isOutcomeUnknown, error.requestId]).toEqual([true, "R1"]);
  server.stop(true);
});

test("an abort ends a call that hangs, and its retries", async () => {
  const stop = new AbortController();
  const { api, seen } = script(
    [
      async () =>
        new Promise<Response>(() => setTimeout(() => stop.abort(new Error("enough")), 20)),
    ],
    { signal: stop.signal },
  );
  expect(api.readMachine(id)).rejects.toThrow("enough");
  await Bun.sleep(60);
  expect(seen.length).toBe(1);
});

test("calls keep below Fly's limits by themselves", async () => {
  const { api, slept } = script([json({ ok: true })]);
  for (let at = 0; at < 5; at += 1) await api.cordonMachine(id);
  expect(slept).toEqual([1_000, 1_000]);
  await api.cordonMachine("another-machine");
  expect(slept.length).toBe(2);
});
