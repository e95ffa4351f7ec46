import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { guestCommand } from "./guest-command.ts";
import { guestAddress4, guestEnvironment } from "./guest-environment.ts";

/**
 * What fly-local runs as a machine's entrypoint here: qemu, in which the image's own entrypoint runs below
 * another first process. fly-local's folder for the machine is the working directory; its environment says
 * the rest. Ends as the machine does; of a machine whose power is cut, with 137.
 */
const [kernel, initramfs, rootDisk] = process.argv.slice(2) as [string, string, string];
const env = process.env;

const volume = join(env["VAULT_DATA_DIR"] ?? ".", "volume.ext4");
if (!(await Bun.file(volume).exists())) await makeVolume(volume);
await makeInitramfs("initramfs", initramfs, guestEnvironment(env));

const qemu = Bun.spawn(["qemu-system-x86_64", ...machine(), ...disks(volume), ...network()], {
  env: { PATH: `${env["PATH"]}:/usr/bin` },
  stdio: ["ignore", "pipe", "inherit"],
});
await Bun.write("qemu.pid", String(qemu.pid));

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    void guestCommand("control", `kill -${signal.slice(3)} $entrypoint`).catch(console.error);
  });

let text = "";
for await (const bytes of qemu.stdout) {
  process.stdout.write(bytes);
  text = (text + new TextDecoder().decode(bytes)).slice(-200);
}
// The machine's last words. Without them it did not end by itself.
const ended = /entrypoint ended with (\d+)/.exec(text)?.[1];
process.exit((await qemu.exited) === 0 && ended !== undefined ? Number(ended) : 137);

/** Without KVM: qemu computes every instruction, on as many threads as there are processors. */
function machine(): string[] {
  return [
    ["-nodefaults", "-no-reboot", "-display", "none", "-M", "q35", "-m", "1024", "-smp", "2"],
    ["-accel", "tcg,thread=multi", "-cpu", "max", "-device", "virtio-rng-pci"],
    ["-kernel", kernel, "-initrd", "initramfs", "-append", "console=ttyS0 quiet panic=-1"],
    ["-serial", "stdio", "-serial", "unix:control,server=on,wait=off"],
    ["-qmp", "unix:qmp,server=on,wait=off", "-rtc", "clock=vm"],
  ].flat();
}

/** Fly wipes the root disk at every start; the volume stays. */
function disks(data: string): string[] {
  return [
    ["-drive", `file=${rootDisk},format=raw,if=none,id=root,snapshot=on`],
    ["-device", "virtio-blk-pci,drive=root"],
    ["-drive", `file=${data},format=raw,if=none,id=data`],
    ["-device", "virtio-blk-pci,drive=data"],
  ].flat();
}

/** The machine's address leads to it by UDP. A "restricted" network of qemu would not let its answers out. */
function network(): string[] {
  const port = env["VAULT_LISTEN"]?.split(":").at(-1) ?? "8443";
  const options = [
    "user,id=net",
    `hostfwd=udp:${env["FLY_PRIVATE_IP"]}:${port}-${guestAddress4}:${port}`,
    `guestfwd=tcp:10.0.2.100:80-cmd:socat STDIO UNIX-CONNECT:${env["VAULT_API_SOCKET"]}`,
  ];
  return ["-netdev", options.join(","), "-device", "virtio-net-pci,netdev=net,romfile="];
}

async function makeVolume(path: string): Promise<void> {
  await must(["truncate", "-s", "3G", path]);
  await must(["mkfs.ext4", "-q", "-F", path]);
}

/** The kernel unpacks archives that follow one another: the second one holds the environment. */
async function makeInitramfs(path: string, base: string, environment: string): Promise<void> {
  await writeFile("env", environment, { mode: 0o600 });
  await must([
    "sh",
    "-c",
    `{ cat "$1"; echo env | cpio --quiet -o -H newc | gzip; } > "$2"`,
    "sh",
    base,
    path,
  ]);
}

async function must(argv: readonly string[]): Promise<void> {
  const child = Bun.spawn([...argv], {
    env: { PATH: `${env["PATH"]}:/usr/sbin:/sbin` },
    stdio: ["ignore", "ignore", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")} failed`);
}
