import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import {
  createKeyFile,
  namedKeyFile,
  newMaster,
  ownKeyFileFlag,
  readProxyMasters,
  replaceKeyFile,
} from "./proxy-key-file.ts";
import { withKeyLock } from "./proxy-key-lock.ts";
import { renderMasters } from "./proxy-key-show.ts";

export const proxyKeyNew = defineCommand({
  name: "proxy-key new",
  summary: "Make a key file for proxies, with one master in it",
  description:
    "All proxies and machines that belong together have their keys from one such file. Keep it: " +
    "with it anybody can let clients in at all of them.",
  flags: {
    "key-file": ownKeyFileFlag,
    force: { summary: "replace a file that is there: all keys made from it become worthless" },
  },
  examples: ["fly-vault-admin proxy-key new --key-file proxy.key"],
  exitStatus: "0 made; 7 there is a file already",
  run: async ({ flags }, context) => {
    const path = namedKeyFile(flags["key-file"]);
    const master = newMaster([], context);
    if (flags.force) await withKeyLock(path, context, async () => replaceKeyFile(path, [master]));
    else if (!(await createKeyFile(path, [master])))
      throw new Failure("FV-ADM-006", `there is a key file "${path}" already`, {
        because: "all keys made from it would become worthless",
        fix: `fly-vault-admin proxy-key rotate --key-file ${path}  adds a master to it; --force replaces it`,
      });
    await context.stdout.write(renderMasters([master]));
    return 0;
  },
});

export const proxyKeyRotate = defineCommand({
  name: "proxy-key rotate",
  summary: "Put a new master in front of the one in the key file",
  description:
    "Both are live until `proxy-key retire`. Give the file to the proxies first, then to the " +
    "machines (`tenant rekey`), then the new keys to the clients.",
  flags: { "key-file": ownKeyFileFlag },
  examples: ["fly-vault-admin proxy-key rotate --key-file proxy.key"],
  exitStatus: "0 added; 7 there are two already",
  run: async ({ flags }, context) => {
    const path = namedKeyFile(flags["key-file"]);
    return withKeyLock(path, context, async () => rotate(path, context));
  },
});

async function rotate(path: string, context: Context): Promise<number> {
  const live = await readProxyMasters(path, context);
  const [current, older] = live;
  if (older !== undefined)
    throw new Failure("FV-ADM-006", `two masters are live in "${path}"`, {
      because: `epochs ${current.epoch} and ${older.epoch}`,
      fix: `once no client needs the older one:  fly-vault-admin proxy-key retire --key-file ${path}`,
    });
  const masters = [newMaster(live, context), current] as const;
  await replaceKeyFile(path, masters);
  await context.stdout.write(renderMasters(masters));
  return 0;
}

export const proxyKeyRetire = defineCommand({
  name: "proxy-key retire",
  summary: "Drop the older of two masters from the key file",
  description:
    "Clients with a key of it get no answer any more, as soon as proxies and machines have the file.",
  flags: { "key-file": ownKeyFileFlag },
  examples: ["fly-vault-admin proxy-key retire --key-file proxy.key"],
  exitStatus: "0 dropped; 7 there is only one",
  run: async ({ flags }, context) => {
    const path = namedKeyFile(flags["key-file"]);
    return withKeyLock(path, context, async () => retire(path, context));
  },
});

async function retire(path: string, context: Context): Promise<number> {
  const [current, older] = await readProxyMasters(path, context);
  if (older === undefined)
    throw new Failure("FV-ADM-006", `only one master is live in "${path}"`, {
      because: `epoch ${current.epoch}`,
      fix: `fly-vault-admin proxy-key rotate --key-file ${path}  adds a new one first`,
    });
  await replaceKeyFile(path, [current]);
  await context.stdout.write(renderMasters([current]));
  return 0;
}
