import { afterEach, beforeEach, expect, test } from "bun:test";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import type { ListeningPort } from "../../../../src/protocol/ports-message.ts";
import {
  type AutoForwardOptions,
  AutoForwards,
} from "../../../../src/roles/client/forward/auto-forwards.ts";
import { Forwards } from "../../../../src/roles/client/forward/forwards.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import type { AttestedLink } from "../../../../src/roles/client/link/attested-link.ts";
import { type Listening, listenTcp } from "../../../../src/system/tcp-stream.ts";
import { freePort } from "../../../support/free-port.ts";
import { until } from "./forward-stage.ts";

/** What becomes of the vault's ports on this computer, list by list. */

let forwards: Forwards;
const context = { env: { LANG: "C.UTF-8" }, randomBytes: (count: number) => new Uint8Array(count) };
/** A list is handed in by the tests. */
const link = {
  connection: () => new Promise<never>(() => undefined),
} as unknown as AttestedLink;

beforeEach(async () => {
  const options = { vault: "dev", gateway: false, note: () => undefined };
  forwards = await Forwards.open([], options, context);
});
afterEach(async () => {
  await forwards.close();
});

function start(options: Partial<AutoForwardOptions> = {}): { auto: AutoForwards; told: string[] } {
  const told: string[] = [];
  const given = { mode: "on", forwards, quiet: false, env: context.env, ...options } as const;
  const auto = new AutoForwards({ allows: () => true, ...given });
  auto.use(link);
  auto.begin({ session: "s1", escape: "~", tell: (line) => told.push(line) });
  return { auto, told };
}

const there = (port: number, more: Partial<ListeningPort> = {}): ListeningPort => ({
  port,
  host: "0.0.0.0",
  process: "node",
  pid: 7,
  ...more,
});
const listens = (port: number): Listening =>
  listenTcp({ host: "127.0.0.1", port }, { onConnection: (stream) => stream.abort(0) });

test("what begins to listen leads to the same port here, and ends with its program", async () => {
  const { auto, told } = start();
  const port = freePort();
  await auto.take([]);
  await auto.take([there(port)]);
  const line = `port ${port} (node) → localhost:${port}`;
  expect(told).toEqual([`${line}   [~P list · ~p ${port} off]`]);
  expect(auto.lines).toEqual([line]);
  expect(forwards.lines).toEqual([`127.0.0.1:${port} → dev localhost:${port}`]);
  expect(() => listens(port)).toThrow();
  await auto.take([]);
  expect([forwards.lines, auto.lines]).toEqual([[], []]);
  listens(port).close();
  // Back again, as a server that restarts: no second line.
  await auto.take([there(port)]);
  expect(told).toHaveLength(1);
  expect(forwards.leadsTo(port)).toBeTrue();
});

test("where the number is taken here the next one is, and the line names who has it", async () => {
  const { auto, told } = start();
  const port = freePort();
  const holder = listens(port);
  await auto.take([]);
  await auto.take([there(port)]);
  const [line = ""] = told;
  const why = `\\(${port} is used by ".+", pid ${process.pid}\\)`;
  expect(line).toMatch(new RegExp(`^port ${port} \\(node\\) → localhost:\\d+ ${why}   \\[~P`));
  const local = Number(/localhost:(\d+)/.exec(line)?.[1]);
  expect(local).toBeGreaterThan(port);
  expect(forwards.lines).toEqual([`127.0.0.1:${local} → dev localhost:${port}`]);
  holder.close();
});

test("two forwards never lead to one port, and a port of another forward is not taken", async () => {
  const [port, other] = [freePort(), freePort()];
  await forwards.add("L", `${other}:localhost:${port}`);
  const { auto, told } = start();
  await auto.take([]);
  await auto.take([there(port), there(other)]);
  expect(told).toHaveLength(1);
  expect(told[0]).toContain(`(${other} is used by another forward)`);
  expect(auto.lines[0]).toBe(`port ${port} (node) has a forward of its own`);
});

test("what listened before we came is left alone, unless it is the session's or asked for", async () => {
  const [old, ours] = [freePort(), freePort()];
  const { auto, told } = start();
  const list = [there(old), there(ours, { in_session: true })];
  await auto.take(list);
  expect(told).toHaveLength(1);
  expect(auto.lines).toEqual([
    `port ${old} (node) is not forwarded`,
    `port ${ours} (node) → localhost:${ours}`,
  ]);
  expect(await auto.toggle(old)).toContain(`port ${old} (node) → localhost:${old}`);
  expect(await auto.toggle(ours)).toBe(`port ${ours} (node) is not forwarded`);
  // What was said holds for the next lists as well.
  await auto.take(list);
  expect(forwards.lines).toEqual([`127.0.0.1:${old} → dev localhost:${old}`]);
  expect(await auto.toggle(9)).toBe("nothing listens on 9 in the vault");
  // One that ends and begins again while we are there is not from before.
  await auto.take([]);
  await auto.take([there(old), there(ours)]);
  expect(forwards.lines).toEqual([`127.0.0.1:${old} → dev localhost:${old}`]);
});

test("with notify nothing is opened until somebody wants it", async () => {
  const port = freePort();
  const { auto, told } = start({ mode: "notify" });
  await auto.take([]);
  await auto.take([there(port)]);
  await auto.take([there(port)]);
  expect(told).toEqual([
    `port ${port} (node) listens in the vault   [~P list · ~p ${port} forwards it]`,
  ]);
  expect(forwards.lines).toEqual([]);
  await auto.toggle(port);
  expect(forwards.lines).toHaveLength(1);
});

test("a program that listens on an address of its own is reached there; its name is harmless", async () => {
  const [four, six] = [freePort(), freePort()];
  const { auto, told } = start();
  await auto.take([]);
  await auto.take([
    there(four, { host: "172.17.0.2", process: "a\u001b[2Jb\n".repeat(9) }),
    there(six, { host: "::1" }),
  ]);
  expect(forwards.lines).toEqual([
    `127.0.0.1:${four} → dev 172.17.0.2:${four}`,
    `127.0.0.1:${six} → dev [::1]:${six}`,
  ]);
  expect(told.join("")).not.toMatch(/\p{Cc}/u);
});

test("a vault that opens ports without end gets no more than so many of this computer's", async () => {
  const { auto, told } = start();
  await auto.take([]);
  const many = Array.from({ length: clientLimits.autoForwardsMax + 5 }, () => there(freePort()));
  await auto.take(many);
  expect(forwards.lines).toHaveLength(clientLimits.autoForwardsMax);
  expect(told.at(-1)).toContain(`${clientLimits.autoForwardsMax} are forwarded already`);
  for (let at = 0; at < 3 * clientLimits.autoForwardsMax; at += 1)
    await auto.take([there(freePort(), { process: `p${at}` })]);
  expect(forwards.lines).toHaveLength(1);
});

test("with -q nothing is told", async () => {
  const { auto, told } = start({ quiet: true });
  await auto.take([]);
  await auto.take([there(freePort())]);
  expect([told, forwards.lines.length]).toEqual([[], 1]);
});

test("a vault that does not tell says why, where it is asked for", async () => {
  const auto = new AutoForwards({
    mode: "on",
    forwards,
    quiet: false,
    env: context.env,
    allows: () => true,
  });
  const refusing = {
    connection: async () => Promise.reject(new RemoteError("unsupported", "It is too old")),
  } as unknown as AttestedLink;
  auto.use(refusing);
  auto.begin({ session: undefined, escape: "~", tell: () => undefined });
  await until(() => auto.lines.length > 0);
  expect(auto.lines).toEqual(["It is too old"]);
});
