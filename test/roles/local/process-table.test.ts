import { expect, test } from "bun:test";
import { family, identify, isAlive, sendSignal } from "../../../src/roles/local/process-table.ts";
import { eventually } from "./stage.ts";

const spawn = (script: string) =>
  Bun.spawn({
    cmd: ["/bin/sh", "-c", script],
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });

test("a pid that was given to another process is not taken for the old one", async () => {
  const child = spawn("exec sleep 30");
  const identity = identify(child.pid);
  if (identity === undefined) throw new Error("no process");
  const impostor = { ...identity, startTicks: "1" };
  expect([isAlive(identity), isAlive(impostor)]).toEqual([true, false]);
  expect(sendSignal(impostor, "SIGKILL")).toBe(false);
  expect(isAlive(identity)).toBe(true);
  expect(sendSignal(identity, "SIGKILL")).toBe(true);
  await child.exited;
  expect([isAlive(identity), identify(0)]).toEqual([false, undefined]);
  expect(sendSignal(identity, "SIGKILL")).toBe(false);
});

test("the family holds children, grandchildren, those of other sessions, and orphans of its own", async () => {
  // The second sleep's parent ends at once; only the session tells where it came from.
  const child = spawn("setsid sleep 31 & (sleep 32 &) ; echo; wait");
  const identity = identify(child.pid);
  if (identity === undefined) throw new Error("no process");
  await eventually(() => family(identity).length === 3);
  const members = family(identity);
  expect(members.map(({ pid }) => pid)).toContain(child.pid);
  expect(members.map(({ pid }) => pid)).not.toContain(process.pid);
  for (const member of members) sendSignal(member, "SIGKILL");
  await child.exited;
  await eventually(() => members.every((member) => !isAlive(member)));
});
