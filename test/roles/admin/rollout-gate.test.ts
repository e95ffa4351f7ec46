import { expect, test } from "bun:test";
import { GateWatch, type Verdict } from "../../../src/roles/admin/rollout-gate.ts";
import type { MachineView } from "../../../src/roles/admin/rollout-call.ts";
import { leasedStep, RolloutLease } from "../../../src/roles/admin/rollout-lease.ts";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";

const view = (more: Partial<MachineView> = {}): MachineView => ({
  state: "started",
  version: "v2",
  image: "i",
  pinned: "i",
  cordoned: true,
  badChecks: [],
  exitedAtMs: 5,
  crashed: false,
  ...more,
});
const gate = (handshake = true) =>
  new GateWatch(
    {
      concurrency: 1,
      canary: 0,
      unavailableMax: 1,
      soakMs: 10_000,
      startMs: 60_000,
      healthMs: 20_000,
      drainMs: 0,
      leaseSeconds: 120,
      handshake,
    },
    "v2",
    0,
  );
const reasonOf = (verdict: Verdict) => (verdict.kind === "failed" ? verdict.reason : verdict.kind);

test("the old version does not count as started, however well it runs", () => {
  const on = gate();
  expect(on.see(view({ version: "v1" }), 0).kind).toBe("wait");
  expect([on.step, on.see(view({ version: "v1" }), 59_999).kind]).toEqual(["start", "wait"]);
  expect(reasonOf(on.see(view({ version: "v1" }), 60_000))).toContain("did not start in time");
});

test("a failure of the old version is an answer from before; a machine that is destroyed is so in any", () => {
  const on = gate();
  expect(on.see(view({ version: "v1", state: "failed" }), 0).kind).toBe("wait");
  expect(reasonOf(on.see(view({ state: "failed" }), 1))).toBe("the machine is failed");
  expect(reasonOf(gate().see(view({ version: "v1", state: "destroyed" }), 0))).toBe(
    "the machine is destroyed",
  );
});

test("checks, then the handshake, then the soak, to the last look", () => {
  const on = gate();
  expect(on.see(view({ badChecks: ["check up is critical"] }), 1_000).kind).toBe("wait");
  expect(on.step).toBe("health");
  expect([on.see(view(), 2_000).kind, on.step]).toEqual(["wait", "handshake"]);
  expect([on.handshakeMs(2_000), on.handshakeMs(18_000.25)]).toEqual([5_000, 3_000]);
  expect([on.missed("no answer", 3_000).kind, on.step]).toEqual(["wait", "health"]);
  on.see(view(), 4_000);
  expect([on.shookHands(5_000).kind, on.step]).toEqual(["wait", "soak"]);
  expect(on.see(view(), 14_999)).toEqual({ kind: "wait", pauseMs: 1 });
  expect(on.see(view(), 15_000).kind).toBe("passed");
});

test("no handshake where none is possible, and no checks are good checks", () => {
  const on = gate(false);
  on.see(view(), 0);
  expect(on.step).toBe("soak");
});

test("what does not last fails at once, and tells why", () => {
  for (const [more, words] of [
    [{ state: "stopped" }, "it is stopped"],
    [{ exitedAtMs: 6 }, "it ended and restarted"],
    [{ version: "v3" }, "another version"],
    [{ badChecks: ["check up is critical"] }, "check up is critical"],
    [{ state: "failed" }, "the machine is failed"],
  ] as const) {
    const on = gate(false);
    on.see(view(), 0);
    expect(reasonOf(on.see(view(more), 1))).toContain(words);
  }
});

test("health that does not come in time, and a watch that sees nothing", () => {
  const on = gate();
  on.see(view({ badChecks: ["check up is warning"] }), 1_000);
  expect(reasonOf(on.see(view({ badChecks: ["check up is warning"] }), 21_000))).toBe(
    "did not become healthy in time: check up is warning",
  );
  const blind = gate(false);
  blind.see(view(), 0);
  expect(blind.missed("503", 29_999).kind).toBe("wait");
  expect(reasonOf(blind.missed("503", 30_000))).toBe("could not be watched: 503");
});

test("a gate looks less and less often, and never past its time", () => {
  const on = gate();
  const pauses = [0, 0, 0, 0, 0, 0, 59_500].map((nowMs) => {
    const verdict = on.see(view({ state: "starting" }), nowMs);
    return verdict.kind === "wait" ? verdict.pauseMs : -1;
  });
  const first = rolloutLimits.pollMsFirst;
  expect(pauses.slice(0, 3)).toEqual([first, 2 * first, 4 * first]);
  expect(pauses.slice(-2)).toEqual([rolloutLimits.pollMs, 500]);
});

test("a lease is renewed at a third of its life, and not trusted near its end", () => {
  const lease = new RolloutLease("n", 120_000, 0);
  expect([lease.deadlineMs, lease.due(39_999), lease.due(40_000)]).toEqual([40_000, false, true]);
  expect([lease.isRenewing, lease.deadlineMs, lease.due(50_000)]).toEqual([true, undefined, false]);
  lease.handleRenewed({ kind: "fault", fault: { kind: "lost", words: "" } }, 50_000);
  expect([lease.deadlineMs, lease.holds(114_999), lease.holds(115_000)]).toEqual([
    60_000,
    true,
    false,
  ]);
  expect(lease.due(60_000)).toBe(true);
  lease.handleRenewed({ kind: "leased", nonce: "n" }, 61_000);
  expect([lease.deadlineMs, lease.holds(174_999), lease.holds(175_000)]).toEqual([
    100_000,
    true,
    false,
  ]);
});

test("a renewal without an answer leaves in doubt which lease there is, until the next one", () => {
  const lease = new RolloutLease("n", 120_000, 0);
  const fault = { kind: "fault", fault: { kind: "lost", words: "" } } as const;
  const doubts = [fault, { kind: "leased", nonce: "n" } as const, fault].map((answer) => {
    const nowMs = lease.deadlineMs ?? 0;
    lease.due(nowMs);
    lease.handleRenewed(answer, nowMs);
    return { mayBeAnother: lease.mayBeAnother, isLost: lease.isLost };
  });
  const inDoubt = { mayBeAnother: true, isLost: false } as const;
  expect(doubts).toEqual([inDoubt, { mayBeAnother: false, isLost: false }, inDoubt]);
  // Another one is asked for, and this one renewed no more.
  expect(leasedStep("release", lease, 0)).toBe("lease");
  expect([lease.isLost, lease.deadlineMs]).toEqual([true, undefined]);
});

test("a lease that turned out to be another, or somebody else's, is lost", () => {
  for (const answer of [
    { kind: "leased", nonce: "other" },
    { kind: "fault", fault: { kind: "conflict", words: "" } },
  ] as const) {
    const lease = new RolloutLease("n", 120_000, 0);
    lease.due(40_000);
    lease.handleRenewed(answer, 40_001);
    expect([lease.isLost, lease.holds(40_001), lease.deadlineMs]).toEqual([true, false, undefined]);
  }
});
