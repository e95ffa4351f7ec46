import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Fault } from "./fault-proxy.ts";
import { type AdminStage, openAdminStage } from "./stage.ts";

/**
 * Faults of the API, once at every call that creating and deleting makes: a quarter of them at each call,
 * another quarter at the next, and with FV_SOAK=1 all of them everywhere. Whatever a run says, the
 * same command again, without the fault, ends where it should: one machine with one volume, or none.
 */
const faults: readonly Fault[] = [
  "401",
  "404",
  "408",
  "done-but-408",
  "409",
  "409-no-capacity",
  "412",
  "422",
  "422-name_taken",
  "422-insufficient_capacity",
  "429",
  "429-wait-0",
  "not-done-500",
  "done-but-500",
  "502-html",
  "503-empty",
  "done-but-504",
  "answer-lost",
  "wrong-types",
];

let at: AdminStage;
beforeAll(async () => {
  at = await openAdminStage();
});
afterAll(async () => at.close(), 60_000);

function faultsAt(call: number): readonly Fault[] {
  if (process.env["FV_SOAK"] !== undefined) return faults;
  return faults.filter((_, place) => place % 4 === call % 4);
}

/** By the number of such calls before, so that the next one is struck. */
function strikeNext(on: string, fault: Fault): void {
  const before = at.proxy.calls.filter((call) => call === on).length;
  at.rules.splice(0, at.rules.length, { on, nth: before + 1, fault });
}

const counts = async (): Promise<readonly number[]> => [
  (await at.machines()).length,
  (await at.volumes()).length,
];

describe("create", () => {
  const calls = [
    "GET /machines",
    "GET /volumes",
    "POST /volumes",
    "POST /machines",
    "GET /machines/*",
    "PATCH /machines/*/metadata",
  ];
  for (const [place, on] of calls.entries()) {
    test(`${on}: nothing twice, nothing left, and the next run ends right`, async () => {
      for (const fault of faultsAt(place)) {
        strikeNext(on, fault);
        const first = await at.admin("tenant", "create", "acme", "--template", at.template);
        const label = `${on}: ${fault}: ${first.err}`;
        expect([label, await counts()]).toEqual([label, first.exitCode === 0 ? [1, 1] : [0, 0]]);
        expect([label, first.out === ""]).toEqual([label, first.exitCode !== 0]);
        if (first.exitCode !== 0) {
          expect([label, first.err.includes("01FAULT-proxy") || !isAnswer(fault)]).toEqual([
            label,
            true,
          ]);
        }
        const [made] = await at.machines();
        const isFinished = made !== undefined && !("fly_vault.unfinished" in made.config.metadata);
        const second = await at.admin("tenant", "create", "acme", "--template", at.template);
        const expected = isFinished ? 7 : 0;
        expect([label, second.exitCode, await counts()]).toEqual([label, expected, [1, 1]]);
        await at.admin("tenant", "delete", "acme", "--yes");
        expect([label, await counts()]).toEqual([label, [0, 0]]);
      }
    }, 120_000);
  }
});

describe("delete", () => {
  const calls = [
    "GET /machines",
    "GET /volumes",
    "POST /machines/*/cordon",
    "POST /machines/*/stop",
    "GET /machines/*/wait",
    "DELETE /machines/*",
    "DELETE /volumes/*",
  ];
  for (const [place, on] of calls.entries()) {
    test(`${on}: says what is left, and the next run removes it`, async () => {
      for (const fault of faultsAt(place)) {
        at.rules.splice(0);
        await at.admin("tenant", "create", "acme", "--template", at.template);
        strikeNext(on, fault);
        const first = await at.admin("tenant", "delete", "acme", "--yes");
        const label = `${on}: ${fault}: ${first.err}`;
        if (first.exitCode === 0) {
          expect([label, await counts()]).toEqual([label, [0, 0]]);
          continue;
        }
        expect([label, first.out.includes("is deleted")]).toEqual([label, false]);
        for (const { id } of [...(await at.machines()), ...(await at.volumes())])
          expect([label, first.exitCode !== 8 || first.err.includes(id)]).toEqual([label, true]);
        const second = await at.admin("tenant", "delete", "acme", "--yes");
        expect([label, second.exitCode, await counts()]).toEqual([label, 0, [0, 0]]);
      }
    }, 120_000);
  }
});

describe("a list that lags behind", () => {
  test("makes no second machine, and takes nobody's word that a tenant is gone", async () => {
    at.rules.splice(0);
    await at.admin("tenant", "create", "acme", "--template", at.template);
    strikeNext("GET /machines", "empty-list");
    const again = await at.admin("tenant", "create", "acme", "--template", at.template);
    expect([again.exitCode, await counts()]).toEqual([7, [1, 1]]);
    strikeNext("GET /machines", "empty-list");
    expect((await at.admin("tenant", "delete", "acme", "--yes")).exitCode).toBe(0);
    expect(await counts()).toEqual([0, 0]);
  });

  test("of volumes: one that the plan had not is left, named, and gone with the next run", async () => {
    await at.admin("tenant", "create", "acme", "--template", at.template);
    const [volume] = await at.volumes();
    strikeNext("GET /volumes", "empty-list");
    const first = await at.admin("tenant", "delete", "acme", "--yes");
    expect(first.out).toContain("1 machine and 0 volumes to delete");
    expect([first.exitCode, first.err.includes(`left: volume ${volume?.id}`)]).toEqual([8, true]);
    expect((await at.admin("tenant", "delete", "acme", "--yes")).exitCode).toBe(0);
    expect(await counts()).toEqual([0, 0]);
  });
});

/** Others end before there is an answer with an id. */
function isAnswer(fault: Fault): boolean {
  return !["answer-lost", "wrong-types"].includes(fault);
}
