import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import { type LocalFly, startLocalFly, type Tenant } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { rejection } from "../support/rejection.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";

/** Everything a user can get wrong in the main job: a clear error, its exit code, and nothing lost. */
let fly: LocalFly;
let tenant: Tenant;
let vault: LocalVault;
let rootfs: string;

beforeAll(async () => {
  fly = await startLocalFly();
  tenant = await fly.createTenant("acme");
  vault = await makeLocalVault(fly, tenant);
  rootfs = await makeRootfsArchive(fly.folder, {
    format: "tar.gz",
    files: { "/etc/release": "first\n" },
  });
});

afterAll(async () => {
  await fly.stop();
});

describe("before anything is sent", () => {
  test("an unknown vault names the near one", async () => {
    await vault.configure();
    await refused(["exec", "dve", "--", "true"], { code: "FV-CFG-005", exitCode: 3, says: "dev" });
  });

  test("a missing configuration file is named", async () => {
    const env = { FLY_VAULT_CONFIG: "/nonexistent/config.toml" };
    await refused(["exec", "dev", "--", "true"], {
      code: "FV-CFG-001",
      exitCode: 2,
      says: "/nonexistent/config.toml",
      env,
    });
  });

  test("a folder where the configuration should be is said to be one", async () => {
    const env = { FLY_VAULT_CONFIG: vault.home };
    await refused(["exec", "dev", "--", "true"], {
      code: "FV-CFG-002",
      exitCode: 2,
      says: vault.home,
      env,
    });
  });

  test("a value of the wrong type is named with its line and key", async () => {
    const file = join(vault.home, "wrong-type.toml");
    await writeFile(file, '[vault.dev]\naddress = "127.0.0.1:1"\norg = 5\napp = "x"\n', {
      mode: 0o600,
    });
    await refused(["exec", "dev", "--", "true"], {
      code: "FV-CFG-004",
      exitCode: 2,
      says: ":3",
      env: { FLY_VAULT_CONFIG: file },
    });
  });

  test("what is not TOML is named with its line", async () => {
    const file = join(vault.home, "not.toml");
    await writeFile(file, '[vault.dev]\naddress = "127.0.0.1:1\n', { mode: 0o600 });
    await refused(["exec", "dev", "--", "true"], {
      code: "FV-CFG-003",
      exitCode: 2,
      says: ":2",
      env: { FLY_VAULT_CONFIG: file },
    });
  });

  test("a token that others can read is refused, with the way to mend it", async () => {
    await vault.configure();
    await chmod(vault.configFile, 0o644);
    await refused(["exec", "dev", "--", "true"], {
      code: "FV-CFG-007",
      exitCode: 2,
      says: "chmod 600",
    });
    await vault.configure();
  });
});

describe("a machine without a root filesystem", () => {
  test("asks for one by its key", async () => {
    await vault.configure();
    await refused(["exec", "dev", "--", "true"], {
      code: "FV-VM-001",
      exitCode: 6,
      says: "rootfs",
    });
  });

  test("a rootfs file that is not there is named", async () => {
    await vault.configure({ rootfs: "/nonexistent/rootfs.tar.gz" });
    await refused(["exec", "dev", "--", "true"], {
      code: "FV-PROV-001",
      exitCode: 3,
      says: "/nonexistent/rootfs.tar.gz",
    });
  });

  test("is provisioned by the first good one after all that", async () => {
    await vault.configure({ rootfs });
    const result = await vault.client(["exec", "dev", "--", "cat", "/etc/release"]);
    expect(result.text).toBe("first\n");
  });
});

describe("a provisioned machine keeps what it has", () => {
  test("when the new archive is cut short", async () => {
    const bytes = await readFile(rootfs);
    await badArchive("cut.tar.gz", bytes.subarray(0, bytes.length / 2), "FV-PROV-003");
  });

  test("when the new archive is corrupt", async () => {
    const bytes = Uint8Array.from(await readFile(rootfs));
    bytes.fill(0x55, bytes.length / 3, bytes.length / 3 + 1000);
    await badArchive("corrupt.tar.gz", bytes, "FV-PROV-003");
  });

  test("when the new archive is no archive", async () => {
    await badArchive(
      "letter.txt",
      new TextEncoder().encode("Dear machine,\n".repeat(100)),
      "FV-PROV-002",
    );
  });

  test("when the token is wrong", async () => {
    await vault.configure({ access_token: "not-the-token" });
    await refused(["exec", "dev", "--", "true"], {
      code: "FV-AUTH-001",
      exitCode: 4,
      says: "access token",
    });
    await stillWorks();
  });

  test("when a local port is in use", async () => {
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    try {
      const spec = `${taken.port}:localhost:3000`;
      await refused(["connect", "dev", "--forward", spec], {
        code: "FV-FWD-001",
        exitCode: 7,
        says: String(taken.port),
      });
    } finally {
      taken.stop(true);
    }
    await stillWorks();
  });

  test("when nothing listens where a forward leads: one line, and the console goes on", async () => {
    const port = freePort();
    const terminal = vault.terminal(["connect", "dev", "--forward", `${port}:localhost:9`]);
    await terminal.expect(/vault# /);
    expect(await rejection(fetch(`http://127.0.0.1:${port}/`))).toBeInstanceOf(Error);
    await terminal.expect(/nothing listens on dev:9/);
    terminal.type("echo on-$((40+2))\r");
    await terminal.expect(/on-42/);
    terminal.type("exit\r");
    await terminal.exited;
  });
});

async function badArchive(name: string, bytes: Uint8Array, code: string): Promise<void> {
  const file = join(fly.folder, name);
  await writeFile(file, bytes);
  await vault.configure({ rootfs: file });
  await refused(["connect", "dev", "--reprovision"], { code, exitCode: 1, says: "" });
  await stillWorks();
}

async function stillWorks(): Promise<void> {
  await vault.configure({ rootfs });
  const result = await vault.client(["exec", "dev", "--", "cat", "/etc/release"]);
  expect(result.text).toBe("first\n");
}

interface Expected {
  readonly code: string;
  readonly exitCode: number;
  readonly says: string;
  readonly env?: Readonly<Record<string, string>>;
}

async function refused(argv: readonly string[], expected: Expected): Promise<void> {
  const result = await vault.client(argv, expected.env === undefined ? {} : { env: expected.env });
  expect(result.stderr).toMatch(/^error: /m);
  expect(result.stderr).toContain(`code:  ${expected.code}`);
  expect(result.stderr).toContain(expected.says);
  expect(result.text).toBe("");
  expect(result.exitCode).toBe(expected.exitCode);
}
