import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { defaultWebAddress, parseWebAddress } from "../../../../src/roles/client/dial/transport.ts";
import {
  networkKey,
  ownAddresses,
  TransportMemory,
} from "../../../../src/roles/client/dial/transport-memory.ts";

let folder: string;
let memory: TransportMemory;
let file: string;
const home = networkKey(["192.0.2.7"], "proxy.example:443");
const nowMs = 1_800_000_000_000;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-memory-"));
  memory = new TransportMemory(folder);
  file = join(folder, "udp-blocked.json");
});
afterEach(async () => {
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true });
});

describe("what is remembered of a network", () => {
  test("an hour, with a look every five minutes", async () => {
    expect(await memory.recall(home, nowMs)).toBe("unknown");
    expect(await memory.noteBlocked(home, nowMs)).toBe(true);
    const seen = async (afterMs: number): Promise<string> => memory.recall(home, nowMs + afterMs);
    expect(await seen(clientLimits.udpProbeEveryMs - 1)).toBe("blocked");
    expect(await seen(clientLimits.udpProbeEveryMs)).toBe("probe");
    expect(await memory.noteBlocked(home, nowMs + 1_000_000)).toBe(false);
    expect(await seen(1_000_001)).toBe("blocked");
    // The looks in between do not make it last longer.
    expect(await seen(clientLimits.udpBlockedMs - 1)).toBe("probe");
    expect(await seen(clientLimits.udpBlockedMs)).toBe("unknown");
    expect(await memory.noteBlocked(home, nowMs + clientLimits.udpBlockedMs)).toBe(true);
  });

  test("a clock that was set back forgets", async () => {
    await memory.noteBlocked(home, nowMs);
    expect(await memory.recall(home, nowMs - 1)).toBe("unknown");
  });

  test("networks and vaults apart, and forgotten apart", async () => {
    const other = networkKey(["192.0.2.7"], "other.example:443");
    await memory.noteBlocked(home, nowMs);
    await memory.noteBlocked(other, nowMs);
    await memory.forget(home, nowMs);
    expect(await memory.recall(home, nowMs)).toBe("unknown");
    expect(await memory.recall(other, nowMs)).toBe("blocked");
  });

  test("so many networks and no more, the newest, in a file of our own that names none", async () => {
    for (let at = 0; at <= clientLimits.blockedNetworksMax; at++)
      await memory.noteBlocked(networkKey([`192.0.2.${at}`], "proxy.example:443"), nowMs + at);
    const text = await Bun.file(file).text();
    expect(JSON.parse(text).blocked).toHaveLength(clientLimits.blockedNetworksMax);
    expect(text).not.toContain("192.0.2");
    expect(text).not.toContain("proxy");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const oldest = networkKey(["192.0.2.0"], "proxy.example:443");
    expect(await memory.recall(oldest, nowMs)).toBe("unknown");
  });

  test.each([
    ["no JSON", "{"],
    ["another version", '{"version":2,"blocked":[]}'],
    ["a time that is none", `{"version":1,"blocked":[{"network":"${home}","since_ms":-1}]}`],
    ["too long", " ".repeat(20_000)],
  ])("a file that is %s is as if there were none, and is replaced", async (_, text) => {
    await writeFile(file, text, { mode: 0o600 });
    expect(await memory.recall(home, nowMs)).toBe("unknown");
    expect(await memory.noteBlocked(home, nowMs)).toBe(true);
    expect(await memory.recall(home, nowMs)).toBe("blocked");
  });

  test("a folder that cannot be written, or a file of others, is no failure", async () => {
    await writeFile(file, "{}", { mode: 0o600 });
    await chmod(file, 0o666);
    expect(await memory.recall(home, nowMs)).toBe("unknown");
    const nowhere = new TransportMemory(join(file, "below"));
    expect(await nowhere.noteBlocked(home, nowMs)).toBe(true);
    expect(await nowhere.recall(home, nowMs)).toBe("unknown");
  });
});

test("a network is known by its addresses in any order, and by nothing of this computer alone", () => {
  expect(networkKey(["b", "a"], "v")).toBe(networkKey(["a", "b"], "v"));
  expect(networkKey(["a"], "v")).not.toBe(networkKey(["a", "b"], "v"));
  expect(ownAddresses()).not.toContain("127.0.0.1");
});

test.each([
  ["wss://proxy.example", "wss://proxy.example/v1/datagrams"],
  ["wss://proxy.example:8443/v1/datagrams", "wss://proxy.example:8443/v1/datagrams"],
  ["wss://[2001:db8::1]/", "wss://[2001:db8::1]/v1/datagrams"],
  ["ws://127.0.0.1:80", "ws://127.0.0.1/v1/datagrams"],
  ["ws://[::1]:8080/v1/datagrams", "ws://[::1]:8080/v1/datagrams"],
  ["ws://localhost:8080", "ws://localhost:8080/v1/datagrams"],
  ["ws://proxy.example", undefined],
  ["ws://127.0.0.1.example.com", undefined],
  ["https://proxy.example", undefined],
  ["wss://user:secret@proxy.example", undefined],
  ["wss://proxy.example/elsewhere", undefined],
  ["wss://proxy.example/?", undefined],
  ["wss://proxy.example/#x", undefined],
  ["proxy.example:443", undefined],
  ["", undefined],
  ["wss://proxy\t.example", undefined],
  ["wss://proxy.example/v1/datagrams\n", undefined],
])("web_address %j is %j", (text, url) => {
  expect(parseWebAddress(text)).toBe(url);
});

test("where nothing is said the name of the address is enough, and a number is not", () => {
  expect(defaultWebAddress({ host: "proxy.example", port: 8443 })).toBe(
    "wss://proxy.example/v1/datagrams",
  );
  expect(defaultWebAddress({ host: "192.0.2.1", port: 443 })).toBeUndefined();
  expect(defaultWebAddress({ host: "2001:db8::1", port: 443 })).toBeUndefined();
});
