import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "smol-toml";
import * as v from "valibot";
import { WireError } from "../../../../src/protocol/errors.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import {
  configDigest,
  linkName,
  slowTokenSource,
} from "../../../../src/roles/client/shared-link/link-key.ts";
import { listLinks, stopLink } from "../../../../src/roles/client/shared-link/link-list.ts";
import {
  encodeMessage,
  type LinkPlan,
} from "../../../../src/roles/client/shared-link/link-message.ts";
import {
  leaveName,
  socketOf,
  takeName,
} from "../../../../src/roles/client/shared-link/link-place.ts";
import { NoSharedLink, startLink } from "../../../../src/roles/client/shared-link/link-start.ts";
import { main } from "../../../../src/roles/client/main.ts";
import {
  encodeSharedFrame,
  SharedFrames,
  sharedFrameTypes,
} from "../../../../src/roles/client/shared-link/shared-frame.ts";
import {
  SharedLink,
  type SharedLinkOptions,
} from "../../../../src/roles/client/shared-link/shared-link.ts";
import type { VaultConfig } from "../../../../src/roles/client/vault/vault-config.ts";
import { vaultSchema } from "../../../../src/roles/client/vault/vault-schema.ts";
import { tryLock } from "../../../../src/system/file-lock.ts";
import { listenUnix } from "../../../../src/system/tcp-stream.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { memoryPair } from "../../../support/memory-stream.ts";
import { rejection } from "../../../support/rejection.ts";

/** How a command comes by its background link, and what it does where there is none to be had. */

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fly-vault-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const secret = new Uint8Array(32).fill(7);
const config: VaultConfig = {
  name: "dev",
  path: "/c/config.toml",
  folder: "/c",
  address: "127.0.0.1:8443",
  org: "acme",
  app: "dev",
  forward: [],
  reverse_forward: [],
  dynamic_forward: [],
};

test("everything about trust is in the name of a link, and nothing of it can be read there", () => {
  const env = { HOME: "/h" };
  const base = { config, transport: undefined, token: "the token" } as const;
  const name = linkName(base, secret, env);
  expect(name).toMatch(/^[0-9a-f]{32}$/);
  expect(linkName(base, secret, env)).toBe(name);
  const others = [
    linkName({ ...base, token: "another" }, secret, env),
    linkName({ ...base, transport: "tcp" }, secret, env),
    linkName(base, new Uint8Array(32), env),
    linkName(base, secret, { HOME: "/other" }),
    ...Object.entries({
      name: "prod",
      path: "/d/config.toml",
      address: "127.0.0.1:8444",
      org: "other",
      app: "other",
      machine_id: "148e21ea7e46e8",
      issuer: "https://example.com",
      admission_key: "x",
      access_token: "x",
      link_idle: "1m",
      // Of a later version: counts until somebody says that it is harmless.
      image_digests: ["sha256:1"],
    }).map(([key, value]) =>
      linkName({ ...base, config: { ...config, [key]: value } }, secret, env),
    ),
  ];
  expect(new Set([name, ...others]).size).toBe(others.length + 1);
  const harmless = { ...config, forward: ["3000"], rootfs: "/r.tar", rootfs_sha256: "0" };
  expect(linkName({ ...base, config: harmless }, secret, env)).toBe(name);
  expect(configDigest(harmless, secret)).toBe(configDigest(config, secret));
});

test("a program that is asked for the token stands for it, unless a token is given", () => {
  const slow = { ...config, token: { command: ["op", "read"] } };
  expect(slowTokenSource(slow, undefined, {})).toBe('{"command":["op","read"]}');
  expect(slowTokenSource(slow, "-", {})).toBeUndefined();
  expect(slowTokenSource(slow, undefined, { FLY_VAULT_TOKEN: "x" })).toBeUndefined();
  expect(slowTokenSource(slow, undefined, { FLY_VAULT_TOKEN_FILE: "x" })).toBeUndefined();
  expect(slowTokenSource({ ...config, token: { file: "t" } }, undefined, {})).toBeUndefined();
  expect(slowTokenSource(config, undefined, {})).toBeUndefined();
});

function parsed(idle: string): boolean {
  const table = parse(`address="a:1"\norg="o"\napp="a"\nlink_idle="${idle}"`);
  return v.safeParse(vaultSchema, table).success;
}

test("link_idle has an end", () => {
  expect(["0s", "10m", "24h", "24h1s", "10", "soon"].map(parsed)).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
  expect(clientLimits.linkIdleMsMax).toBe(24 * 3_600_000);
});

test("the newest socket has the name, and a socket that was left behind goes", () => {
  const place = mkdtempSync(join(folder, "n"));
  writeFileSync(join(place, "1-a.sock"), "");
  takeName(place, "N", "1-a.sock");
  writeFileSync(join(place, "2-b.sock"), "");
  takeName(place, "N", "2-b.sock");
  expect(readdirSync(place).toSorted()).toEqual(["2-b.sock", "N"]);
  leaveName(place, "N", "1-a.sock");
  expect(socketOf(place, "N")).toBe("2-b.sock");
  leaveName(place, "N", "2-b.sock");
  expect(socketOf(place, "N")).toBeUndefined();
});

function noPlan(): Promise<LinkPlan> {
  return expect.unreachable();
}

test("a start that another command has begun and not finished is given up in time", async () => {
  const lock = openSync(join(folder, "busy.lock"), "a");
  expect(tryLock(lock)).toBe(true);
  let nowMs = 0;
  const context = { ...memoryContext(), monotonicMs: () => (nowMs += 500) };
  const error = await rejection(startLink(folder, "busy", noPlan, context));
  expect(error).toBeInstanceOf(NoSharedLink);
  expect(nowMs).toBeGreaterThan(clientLimits.linkStartMs);
  closeSync(lock);
  rmSync(join(folder, "busy.lock"));
});

test("a link list has an end, and a socket that nobody serves is removed", async () => {
  const env = { FLY_VAULT_HOME: folder };
  expect(await listLinks(env)).toEqual([]);
  const links = mkdtempSync(join(folder, "x"));
  symlinkSync(links, join(folder, "link"));
  expect((await rejection(listLinks(env))).message).toContain("is not a folder");
  rmSync(join(folder, "link"));
  const home = { FLY_VAULT_HOME: links };
  const place = join(links, "link");
  Bun.spawnSync(["mkdir", "-m", "700", place], { env: {} });
  for (let at = 0; at <= clientLimits.linkListMax; at++)
    writeFileSync(join(place, `${at}.sock`), "");
  expect(await listLinks(home)).toEqual([]);
  expect(readdirSync(place)).toHaveLength(1);
});

test("a plan that is too long, or none, starts nothing", async () => {
  for (const stdin of [
    [new Uint8Array(clientLimits.linkPlanBytesMax + 1)],
    [Buffer.from("{}")],
    [],
  ]) {
    const context = memoryContext({ stdin });
    expect(await main(["link", "serve", "dev"], context)).toBe(2);
  }
});

test("a message is limited on both sides", async () => {
  const text = "x".repeat(clientLimits.linkMessageBytesMax);
  expect(() => encodeMessage({ type: "notice", text })).toThrow(RangeError);
  const { near, far } = memoryPair();
  await far.write(Uint8Array.of(1, 0, 4, 0, 1));
  expect(await rejection(new SharedFrames(near).read())).toBeInstanceOf(WireError);
});

function linkOptions(
  speak: (frames: SharedFrames) => Promise<void>,
  more: Partial<SharedLinkOptions> = {},
): SharedLinkOptions {
  return {
    vault: "dev",
    verbose: 0,
    connect: () => {
      const { near, far } = memoryPair();
      void speak(new SharedFrames(far));
      return Promise.resolve({ frames: new SharedFrames(near), isNew: false });
    },
    connectSocket: () => Promise.resolve(undefined),
    clock: performanceClock,
    notice: () => undefined,
    ...more,
  };
}

/** Of a process that has just died. */
function deadFrames(): SharedFrames {
  const { near, cut } = memoryPair();
  cut();
  return new SharedFrames(near);
}

const performanceClock = { monotonicMs: () => performance.now() };

test("a background link that is silent, talks nonsense or breaks off is none", async () => {
  const speaking = [
    () => Promise.resolve(),
    (frames: SharedFrames) => frames.end(),
    (frames: SharedFrames) => frames.write(Uint8Array.of(9, 9, 9, 9, 9)),
    async (frames: SharedFrames) => {
      await frames.write(encodeMessage({ type: "welcome", socket: "1-a.sock" }));
      await frames.end();
    },
    // Of a build that says it in other words.
    (frames: SharedFrames) =>
      frames.write(encodeSharedFrame(sharedFrameTypes.message, Buffer.from('{"type":"hello"}'))),
  ];
  const errors = await Promise.all(
    speaking.map((speak) => rejection(SharedLink.open(linkOptions(speak)))),
  );
  // It died between taking the connection and reading from it.
  const options = linkOptions(() => Promise.resolve(), {
    connect: async () => ({ frames: deadFrames(), isNew: false }),
  });
  errors.push(await rejection(SharedLink.open(options)));
  for (const error of errors) expect(error).toBeInstanceOf(NoSharedLink);
});

test("a link that is down when a command comes is waited for so long, and no longer", async () => {
  let nowMs = 0;
  const clock = { monotonicMs: () => nowMs };
  const speak = async (frames: SharedFrames): Promise<void> => {
    await frames.write(encodeMessage({ type: "welcome", socket: "1-a.sock" }));
    for (let attempt = 0; attempt < 4; attempt += 1) {
      nowMs += clientLimits.linkDownMs / 3 + 1;
      await frames.write(encodeMessage({ type: "down", attempt, forMs: 0 }));
      await Bun.sleep(5);
    }
  };
  const error = await rejection(SharedLink.open(linkOptions(speak, { clock })));
  expect(error).toBeInstanceOf(NoSharedLink);
  expect(error.message).toContain("is down");
});

test("one that stands still is listed, and not waited for without end", async () => {
  const home = mkdtempSync(join(folder, "h"));
  const place = join(home, "link");
  Bun.spawnSync(["mkdir", "-m", "700", place], { env: {} });
  const path = join(place, "7-still.sock");
  const listening = listenUnix(path, { onConnection: () => undefined });
  const other = { vault: "dev", state: "up", machine_id: null, age_ms: 1, idle_ms: 1 } as const;
  const rest = { clients: 0, streams: 0, pid: 7, version: "1", path };
  const startMs = performance.now();
  const [links, isGone] = await Promise.all([
    listLinks({ FLY_VAULT_HOME: home }),
    stopLink({ ...other, ...rest }),
  ]);
  expect(links).toMatchObject([{ state: "silent", pid: 7, path }]);
  expect(isGone).toBe(false);
  const limitMs = clientLimits.linkWelcomeMs + clientLimits.linkStopMs;
  expect(performance.now() - startMs).toBeWithin(limitMs - 100, limitMs + 20_000);
  const context = memoryContext({ env: { FLY_VAULT_HOME: home } });
  expect(await main(["link", "stop", "dev"], context)).toBe(0);
  expect(context.err()).toBe('no background link of "dev", but 1 silent one (fly-vault link ls)\n');
  listening.close();
});

test("a link that does not come back is given up after --reconnect", async () => {
  const status = {
    vm_state: "ready",
    runtime: "system-init",
    init_version: "1",
    protocol_oldest: 1,
    protocol_newest: 1,
  } as const;
  const machine = {
    issuer: "i",
    orgId: "1",
    appId: "2",
    appName: "a",
    machineId: "m",
    issuedAtMs: 1,
    expiresAtMs: 2,
  };
  let rounds = 0;
  const speak = async (frames: SharedFrames): Promise<void> => {
    rounds += 1;
    await frames.write(encodeMessage({ type: "welcome", socket: "1-a.sock" }));
    if (rounds === 1)
      await frames.write(
        encodeMessage({
          type: "up",
          generation: 1,
          login: { status, version: 1, machine },
          phases: { dnsMs: 0, quicMs: 1, attestMs: 1, authMs: 1 },
          stats: { rttMs: 1, lostPackets: 0, sentPackets: 1 },
        }),
      );
    await Bun.sleep(5);
    await frames.end();
  };
  const states: string[] = [];
  const link = await SharedLink.open(
    linkOptions(speak, {
      connectSocket: async () => deadFrames(),
      reconnectMs: 700,
      onState: ({ kind }) => states.push(kind),
    }),
  );
  expect(link.login.machine).toMatchObject({ machineId: "m", image: undefined });
  const first = await link.connection();
  // Its process dies just as a stream is opened.
  expect(await rejection(first.openStream())).toMatchObject({ kind: "connection-lost" });
  await first.closed;
  expect(link.isCurrent(first)).toBe(false);
  const error = await rejection(link.connection());
  expect(error).toMatchObject({ code: "FV-NET-003" });
  expect(error.message).toContain("did not come back");
  // With pauses between, however fast it fails.
  expect(rounds).toBeLessThan(8);
  expect(states.every((kind) => kind === "down")).toBe(true);
  await link.close();
});
