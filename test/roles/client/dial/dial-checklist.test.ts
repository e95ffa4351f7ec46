import { expect, test } from "bun:test";
import { Failure } from "../../../../src/cli/failure.ts";
import { defineCommand } from "../../../../src/cli/command.ts";
import { runProgram } from "../../../../src/cli/program.ts";
import { hintStates, type HintState } from "../../../../src/quic/admission-hint.ts";
import { dialChecklist } from "../../../../src/roles/client/dial/dial-checklist.ts";
import type { Transport } from "../../../../src/roles/client/dial/transport.ts";
import { memoryContext } from "../../../support/memory-context.ts";

const places = new Map<string, Transport>([
  ["192.0.2.1:443", "quic"],
  ["web", "tcp"],
]);

function shown(seen: {
  readonly places?: ReadonlyMap<string, Transport>;
  readonly told?: HintState;
  readonly answered?: readonly Transport[];
  readonly hasKey?: boolean;
  readonly errors?: readonly unknown[];
}): string[] {
  const told = seen.told && { state: seen.told, timeS: 0, tagStart: new Uint8Array(8) };
  const race = {
    places: new Map(seen.places ?? places),
    told,
    answered: new Set(seen.answered ?? []),
    errors: [...(seen.errors ?? [])],
  };
  const { steps } = dialChecklist("dev", race, seen.hasKey ?? true);
  return steps.map(({ passed, text }) => `${passed ? "+" : "-"} ${text}`);
}

test.each([
  [
    { places: new Map(), errors: [new Failure("FV-NET-001", "no")] },
    ["- dns: the name of the address has no address"],
  ],
  [{}, ["+ dns: 192.0.2.1:443", "- neither proxy nor machine answered"]],
  [{ hasKey: false }, ["+ dns: 192.0.2.1:443", "- machine did not answer"]],
  [
    { answered: ["quic"] as const },
    ["+ dns: 192.0.2.1:443", "+ something answers over UDP", "- the handshake was not finished"],
  ],
  [
    { told: "starting" as const },
    [
      "+ dns: 192.0.2.1:443",
      "+ proxy answers",
      "- machine is being started, and was not up in time",
    ],
  ],
  [{ places: new Map([["web", "tcp"]] as const) }, ["- neither proxy nor machine answered"]],
])("%j", (seen, expected) => {
  expect(shown(seen)).toEqual(expected);
});

test("whatever a proxy says has its line", () => {
  for (const told of hintStates) expect(shown({ told }).at(-1)).toMatch(/^- \w/);
});

test("it is shown to who watches, around the error", async () => {
  const checklist = dialChecklist(
    "dev",
    { places, told: undefined, answered: new Set(), errors: [] },
    true,
  );
  const program = {
    name: "tool",
    summary: "A tool",
    commands: [
      defineCommand({
        name: "dial",
        summary: "fails",
        flags: { json: { summary: "JSON" } },
        run: async () => {
          throw new Failure("FV-NET-002", "no answer", { checklist });
        },
      }),
    ],
  };
  const said = async (words: readonly string[], tty = false): Promise<string> => {
    const context = memoryContext({ tty, env: { LANG: "C.UTF-8", NO_COLOR: "1" } });
    expect(await runProgram(program, ["dial", ...words], context)).toBe(6);
    return context.err();
  };
  const whole =
    /^✓ dns: 192\.0\.2\.1:443\n✗ neither .*\nerror: no answer\n {2}code: .*\n {2}more: {2}fly-vault doctor dev\n$/;
  expect(await said([], true)).toMatch(whole);
  expect(await said(["-v"])).toMatch(whole);
  for (const quiet of [[], ["-v", "-q"]]) expect(await said(quiet)).toStartWith("error: no answer");
  expect(JSON.parse(await said(["--json"], true))).toMatchObject({ error: { exit: 6 } });
});
