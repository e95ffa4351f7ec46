import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type LocalFly, startLocalFly } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";

/** A volume of 48 MiB (a small file system of its own) meets an archive that does not fit. */
let fly: LocalFly;
let vault: LocalVault;

beforeAll(async () => {
  fly = await startLocalFly({ volumesMebibytes: 48 });
  vault = await makeLocalVault(fly, await fly.createTenant("small"));
});

afterAll(async () => {
  await fly.stop();
});

test("a rootfs too large for the volume is refused, and the old one goes on", async () => {
  const small = await makeRootfsArchive(fly.folder, {
    format: "tar.gz",
    files: { "/etc/release": "fits\n" },
  });
  await vault.configure({ rootfs: small });
  expect((await vault.client(["exec", "dev", "--", "cat", "/etc/release"])).text).toBe("fits\n");

  const large = await makeRootfsArchive(fly.folder, {
    format: "tar",
    files: { "/big": randomBytes(64 * 1024 * 1024) },
  });
  await vault.configure({ rootfs: large });
  const refused = await vault.client(["connect", "dev", "--reprovision"]);
  expect(refused.stderr).toContain("FV-PROV-004");
  expect(refused.exitCode).toBe(1);

  const after = await vault.client([
    "exec",
    "dev",
    "--",
    "sh",
    "-c",
    "cat /etc/release; echo works > /root/new; cat /root/new",
  ]);
  expect(after.text).toBe("fits\nworks\n");
});
