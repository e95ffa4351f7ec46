import { join } from "node:path";
import { type LocalFly, startLocalFly } from "../test/support/local-fly.ts";
import { makeProxyKeys, startLocalProxy } from "../test/support/local-proxy.ts";
import { Laptop, must } from "./demo/laptop.ts";
import { leftovers, machineLogs } from "./demo/leftovers.ts";
import { debianRootfs } from "./demo/rootfs.ts";
import * as steps from "./demo/steps.ts";
import { Timeline } from "./demo/timeline.ts";

/**
 * `make demo`: the main job with nothing pretended but Fly itself. A tenant is created on a local
 * Fly behind a proxy, its machine is provisioned with a Debian root filesystem and worked on; then all
 * is removed.
 */
const app = "vault-tenants";
const timeline = new Timeline();

const archive = await timeline.step(
  "make a Debian rootfs (mmdebstrap)",
  debianRootfs,
  (path) => `${mib(Bun.file(path).size)} in ${path.split("/").at(-1)}`,
);
const fly = await timeline.step(
  "start fly-local",
  startLocalFly,
  (local) => `${local.apiBase}, issuer ${local.issuer}`,
);
const laptop = new Laptop(fly);
const keys = await makeProxyKeys(fly);
let proxy = await timeline.step(
  "start vault-proxy",
  async () => startLocalProxy(fly, { app, keyFile: keys.file }),
  ({ address }) => `UDP at ${address}, with a key of its own`,
);
try {
  await demonstrate(fly);
} catch (error) {
  process.stderr.write(await machineLogs(fly.folder));
  throw error;
} finally {
  await timeline.step(
    "stop everything",
    async () => {
      await laptop.vault(["link", "stop"]);
      await proxy.stop();
      await fly.stop();
    },
    () => "the background link, vault-proxy, fly-local and its machines are gone",
  );
}
const left = await leftovers(fly.folder);
if (left.length > 0) {
  console.error(`left behind: ${left.join(", ")}`);
  process.exit(1);
}
timeline.print();

async function demonstrate(local: LocalFly): Promise<void> {
  const invite = join(local.folder, "acme.invite");
  const tenant = await timeline.step(
    "fly-vault-admin tenant create acme --proxy --invite-file",
    async () =>
      local.createTenant(
        "acme",
        `--proxy ${proxy.address} --key-file ${keys.file} --invite-file ${invite}`.split(" "),
      ),
    (made) => `machine ${made.machineId} at ${made.address}`,
  );
  await show("fly-vault add dev --from acme.invite", async () =>
    steps.addVault(laptop, invite, archive),
  );
  await show("provision, first command (attest, log in, unpack, boot)", async () =>
    steps.shown(await laptop.vault(["exec", "-v", "--timing", "dev", "--", "uname", "-a"])),
  );
  await show("the next command, over the background link", async () =>
    steps.shown(await laptop.vault(["exec", "--timing", "dev", "--", "true"])),
  );
  await show("verify: a new connection, and who is at its other end", async () =>
    steps.shown(await laptop.vault(["verify", "dev"])),
  );
  await show("100 MiB through exec as a pipe", async () => steps.pipe(laptop));
  await show("a console on a terminal", async () => steps.consoleSession(laptop));
  await show("run, wait, logs: a command that nobody stays with", async () =>
    steps.detached(laptop),
  );
  await show("cp -r, 500 files, and once more", async () => steps.copy(laptop));
  await show("OpenSSH over the same link", async () => steps.ssh(laptop));
  await show("forward a port to a server inside, fetch a page", async () => steps.forward(laptop));
  await show("kill -9 the proxy and start it again under a running command", async () =>
    steps.replaceProxy(laptop, async () => {
      proxy.kill("SIGKILL");
      await proxy.exited;
      proxy = await startLocalProxy(local, { app, keyFile: keys.file, address: proxy.address });
    }),
  );
  await show("stop the machine; the next command wakes it", async () =>
    steps.wake(local, tenant, laptop),
  );
  await show("write /root/kept and provision a changed rootfs", async () =>
    steps.reprovision(laptop, archive),
  );
  await show("doctor", async () => steps.shown(await laptop.vault(["doctor", "dev"])));
  if (process.stdin.isTTY && process.stdout.isTTY && process.env["CI"] === undefined) {
    process.stdout.write(
      "\nThis console is in the machine; leave it with `exit`, then everything is removed.\n\n",
    );
    await laptop.handOver("dev");
  }
  await timeline.step(
    "fly-vault-admin tenant delete acme",
    async () => local.admin(["tenant", "delete", "acme", "--yes"]).then(must),
    () => "machine and volume deleted",
  );
}

async function show(title: string, step: () => Promise<string>): Promise<void> {
  await timeline.step(title, step, (words) => words);
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
