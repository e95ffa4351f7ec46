import { chmod, copyFile, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

export interface RootfsOptions {
  readonly format: "tar" | "tar.gz" | "tar.zst";
  /** Further files, by absolute path inside. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Which of these are programs. */
  readonly executables?: readonly string[];
}

const applets = [
  "sh",
  "cat",
  "ls",
  "echo",
  "env",
  "head",
  "id",
  "kill",
  "mkdir",
  "mount",
  "nc",
  "printf",
  "ps",
  "pwd",
  "rm",
  "seq",
  "sha256sum",
  "sleep",
  "stty",
  "test",
  "touch",
  "tr",
  "true",
  "false",
  "tty",
  "uname",
  "wc",
  "yes",
  "dd",
  "httpd",
  "hostname",
  "tar",
];

/** A small but whole root filesystem: Debian's static busybox and what a login needs. Returns the archive's path. */
export async function makeRootfsArchive(folder: string, options: RootfsOptions): Promise<string> {
  const tree = join(folder, `tree-${crypto.randomUUID()}`);
  for (const path of [
    "bin",
    "etc",
    "root",
    "home/dev",
    "tmp",
    "proc",
    "sys",
    "dev",
    "run",
    "usr/bin",
    "var",
  ])
    await mkdir(join(tree, path), { recursive: true });
  await chmod(join(tree, "tmp"), 0o1777);
  await copyFile(
    Bun.which("busybox", { PATH: "/bin:/usr/bin" }) ?? "/bin/busybox",
    join(tree, "bin/busybox"),
  );
  await chmod(join(tree, "bin/busybox"), 0o755);
  for (const applet of applets) await symlink("busybox", join(tree, "bin", applet));
  await writeFile(
    join(tree, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/sh\n",
  );
  await writeFile(join(tree, "etc/group"), "root:x:0:\ndev:x:1000:\n");
  await writeFile(join(tree, "root/.profile"), "PS1='vault# '\n");
  for (const [path, content] of Object.entries(options.files ?? {})) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), content);
  }
  for (const path of options.executables ?? []) await chmod(join(tree, path), 0o755);
  const archive = `${tree}.${options.format}`;
  const filter = { tar: [], "tar.gz": ["--gzip"], "tar.zst": ["--zstd"] }[options.format];
  // Its users get in whatever the umask of this process is.
  const words = [...filter, "--mode=a+rX", "-C", tree, "-cf", archive, "."];
  const packed = Bun.spawnSync(["tar", ...words], {
    env: { PATH: process.env["PATH"] ?? "" },
  });
  if (!packed.success) throw new Error(`tar: ${packed.stderr.toString()}`);
  await rm(tree, { recursive: true });
  return archive;
}
