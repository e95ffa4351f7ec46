import { afterAll, beforeAll, expect, test } from "bun:test";
import { LoginStage, weakToken } from "../../support/login-stage.ts";

let stage: LoginStage;
beforeAll(async () => {
  stage = await LoginStage.open();
});
afterAll(async () => {
  await stage.close();
});

test("performLogin and acceptLogin agree over real QUIC", async () => {
  const machine = await stage.machine();
  const { login, failure, recording } = await stage.login(machine.address);
  expect(failure).toBeUndefined();
  expect(login).toMatchObject({
    version: 1,
    machine: { machineId: "148e21ea7e46e8", appName: "dev-vaults", region: "ord" },
    status: { vm_state: "ready" },
  });
  await Bun.sleep(20);
  expect(machine.logins).toEqual([{ version: 1, features: { version: 1, client: 0, server: 0 } }]);
  expect(recording.sent().length).toBe(4 + 37 + 4 + 32);
  expect(Buffer.from(recording.sent()).includes(weakToken)).toBe(false);
});
