import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A root filesystem of one static program: small enough to be made for every test. */
export function makeBusyboxRootfs(
  root: string,
  options: {
    /** "busybox" is a real init that reads /etc/inittab; "none" leaves it to the fallback; a text becomes a script. */
    readonly init?: "busybox" | "none" | { readonly script: string };
  } = {},
): void {
  for (const folder of ["bin", "sbin", "etc", "root", "home", "usr/bin", "usr/sbin", "var"])
    mkdirSync(join(root, folder), { recursive: true });
  copyFileSync("/usr/bin/busybox", join(root, "bin/busybox"));
  chmodSync(join(root, "bin/busybox"), 0o755);
  for (const applet of applets()) {
    if (applet !== "busybox" && applet !== "init")
      symlinkSync("busybox", join(root, "bin", applet));
  }
  const { init = "busybox" } = options;
  if (init === "busybox") {
    symlinkSync("../bin/busybox", join(root, "sbin/init"));
    writeFileSync(join(root, "etc/inittab"), "::sysinit:/bin/true\n::respawn:/bin/sleep 100000\n");
  } else if (init !== "none") {
    writeFileSync(join(root, "sbin/init"), init.script, { mode: 0o755 });
  }
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\ndev:x:1000:1000:Dev:/home/dev:/bin/sh\n",
  );
  writeFileSync(join(root, "etc/group"), "root:x:0:\ntty:x:5:\nwheel:x:10:dev\ndev:x:1000:\n");
  writeFileSync(join(root, "etc/os-release"), "ID=busybox\n");
}

function applets(): string[] {
  const listed = Bun.spawnSync(["/usr/bin/busybox", "--list"], { env: {} });
  return listed.stdout.toString().trim().split("\n");
}
