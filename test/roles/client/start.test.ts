import { expect, test } from "bun:test";
import { staticImports, wayTo } from "../../support/static-imports.ts";

/** Each costs milliseconds of every `exec`; the commands that need one load it when they run. */
const heavy: ReadonlySet<string> = new Set([
  "@matrixai/quic/native/quiche.js",
  "@valibot/to-json-schema",
  "citty",
  "jose",
  "node:child_process",
  "node:crypto",
  "node:dgram",
  "node:http",
  "node:https",
  "node:stream",
  "node:tls",
  "node:tty",
  "node:util",
  "node:worker_threads",
  "node:zlib",
  "ssh2",
  "tar-stream",
]);

/** Each costs more than all of our own modules that `exec` loads. */
const heavyForExec: ReadonlySet<string> = new Set(["node:net", "node:tls", "node:dns/promises"]);

test("exec loads no network library before it needs one", async () => {
  const { packages, files } = await staticImports("src/roles/client/session/exec.ts");
  expect(files.size).toBeGreaterThan(50);
  expect([...packages.keys()].filter((name) => heavyForExec.has(name) || heavy.has(name))).toEqual(
    [],
  );
});

/** Of the way that goes wrong, of a terminal, or of what was not asked for: loaded when it comes to that. */
const late: readonly string[] = [
  "src/cli/help.ts",
  "src/cli/report.ts",
  "src/cli/run-log.ts",
  "src/roles/client/dial/login-failures.ts",
  "src/roles/client/link/remote-failure.ts",
  "src/roles/client/link/timed-link.ts",
  "src/roles/client/provision/provision.ts",
  "src/roles/client/session/console.ts",
  "src/roles/client/session/session-json.ts",
  "src/roles/client/ssh/agent-forward.ts",
];

test("exec loads nothing that a command which simply works does without", async () => {
  const imports = await staticImports("src/roles/client/session/exec.ts");
  const loaded = late.filter((file) => imports.files.has(file));
  expect(loaded.map((file) => wayTo(imports, file))).toEqual([]);
  for (const file of late) expect(await Bun.file(file).exists()).toBe(true);
});

/** An interface with two small classes, keys as text, numbers. */
const lightQuic: ReadonlySet<string> = new Set([
  "src/quic/connection.ts",
  "src/quic/admission-key.ts",
  "src/quic/limits.ts",
]);

for (const root of ["src/roles/client/main.ts", "src/main.ts"])
  test(`the start of ${root} loads no cryptography, compression, HTTP, SSH or QUIC`, async () => {
    const imports = await staticImports(root);
    expect(imports.files.size).toBeGreaterThan(3);
    const packages = [...imports.packages]
      .filter(([name]) => heavy.has(name))
      .map(([name, file]) => `${name} < ${wayTo(imports, file)}`);
    const quic = [...imports.files.keys()]
      .filter((file) => file.startsWith("src/quic/") && !lightQuic.has(file))
      .map((file) => wayTo(imports, file));
    const others = [...imports.files.keys()]
      .filter(
        (file) =>
          /^src\/system\/copy\/(?!copy-peer)/.test(file) || file.includes("/explanations.ts"),
      )
      .map((file) => wayTo(imports, file));
    expect([...packages, ...quic, ...others]).toEqual([]);
  });
