import { expect, test } from "bun:test";
import { removeMachine } from "../../../src/roles/admin/machine-removal.ts";
import { json, scriptApi } from "../../fly/scripted-api.ts";

const id = "148e21ea7e46e8";

test.each([
  ["launch_failed", false],
  ["hibernating", false],
  ["stopped", false],
  ["started", true],
  ["restarting", true],
  ["stopping", true],
])("a machine that is %s is stopped before it goes: %p", async (state, isStopped) => {
  const script = scriptApi([json({ id, state: "stopped", version: "1" })]);
  await removeMachine(script.api, { id, state, version: "1" }, async () => undefined);
  const paths = script.seen.map(({ method, path }) => `${method} ${path.split(id)[1] ?? ""}`);
  expect(paths.includes("POST /stop")).toBe(isStopped);
  expect([paths[0], paths.at(-1)]).toEqual(["POST /cordon", "DELETE "]);
  await script.close();
});
