import { afterEach, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { localLimits } from "../../../src/roles/local/limits.ts";
import { type Json, openStage, type Reply, type Stage } from "./stage.ts";

let stage: Stage | undefined;
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

async function startMachine(config: Record<string, unknown> = {}): Promise<Json> {
  stage = await openStage();
  const machine = await stage.machine(config);
  await stage.reach(machine.id, "started");
  return machine;
}

async function exec(id: string, body: unknown): Promise<Reply> {
  if (stage === undefined) throw new Error("There is no stage");
  return stage.call("POST", `/v1/apps/app-a/machines/${id}/exec`, body);
}

test("a command runs in the machine: its environment, its folder, stdin, both outputs, its status", async () => {
  const { id } = await startMachine({ env: { COLOUR: "green" } });
  const words =
    'cat; echo "$COLOUR $FLY_MACHINE_ID $FLY_API_TOKEN"; basename "$PWD"; echo no >&2; exit 3';
  const { status, json } = await exec(id, { command: ["sh", "-c", words], stdin: "in\n" });
  expect([status, json]).toEqual([
    200,
    { exit_code: 3, exit_signal: 0, stdout: `in\ngreen ${id} \n${id}\n`, stderr: "no\n" },
  ]);
  const old = await exec(id, { cmd: "echo  a b" });
  expect(old.json.stdout).toBe("a b\n");
});

test("under init's name it is the entrypoint, as an image would have it there", async () => {
  const { id } = await startMachine();
  const { json } = await exec(id, { command: ["init", 'echo "told $1"'] });
  expect(json.stdout).toBe('told echo "told $1"\n');
});

test("what takes too long is killed with its children, and what writes too much is cut", async () => {
  const { id } = await startMachine();
  const slow = await exec(id, { command: ["sh", "-c", "sleep 60 & sleep 60"], timeout: 1 });
  expect([slow.status, slow.json.exit_signal]).toEqual([200, 9]);
  const loud = await exec(id, { command: ["yes"] });
  expect(loud.json.stdout.length).toBe(localLimits.execOutputBytesMax);
});

test("refused: nothing to run, no such program, a time out of range, a machine that does not run", async () => {
  const { id } = await startMachine();
  for (const body of [{}, { command: [] }, { command: ["/no/such"] }, { cmd: " " }])
    expect((await exec(id, body)).status).toBe(400);
  for (const timeout of [0, localLimits.execSecondsMax + 1, 1.5])
    expect((await exec(id, { command: ["true"], timeout })).status).toBe(400);
  await stage?.call("POST", `/v1/apps/app-a/machines/${id}/stop`, {});
  await stage?.reach(id, "stopped");
  expect((await exec(id, { command: ["true"] })).status).toBe(412);
});

test("only so many at once", async () => {
  const { id } = await startMachine();
  const count = localLimits.execAtOnceMax + 1;
  const command = ["sh", "-c", "until [ -e told ]; do sleep 0.05; done"];
  const refused = Promise.withResolvers<undefined>();
  const all = Array.from({ length: count }, async () => {
    const { status } = await exec(id, { command });
    if (status === 412) refused.resolve(undefined);
    return status;
  });
  await refused.promise;
  writeFileSync(join(stage?.dir ?? "", "machines", id, "told"), "");
  expect((await Promise.all(all)).filter((status) => status === 412)).toEqual([412]);
});
