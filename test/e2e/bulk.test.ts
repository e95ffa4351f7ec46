import { afterAll, beforeAll, expect, test } from "bun:test";
import { bulkMebibytes, bulkPipe } from "../support/bulk-pipe.ts";
import { type LocalFly, startLocalFly } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";

let fly: LocalFly;
let vault: LocalVault;

beforeAll(async () => {
  fly = await startLocalFly();
  vault = await makeLocalVault(fly, await fly.createTenant("acme"));
  await vault.configure({ rootfs: await makeRootfsArchive(fly.folder, { format: "tar.zst" }) });
  expect((await vault.client(["exec", "dev", "--", "true"])).exitCode).toBe(0);
});

afterAll(async () => {
  await fly.stop();
});

test("bulk each way through exec -- cat, over real QUIC, in the client's bounded memory", async () => {
  const result = await bulkPipe(["exec", "dev", "--", "cat"], vault.env, bulkMebibytes);
  expect(result).toMatchObject({ exitCode: 0, stderr: "", receivedBytes: result.sentBytes });
  expect(result.received).toBe(result.sent);
  expect(result.peakResidentBytes).toBeLessThan(256 * 1024 * 1024);
}, 300_000);
