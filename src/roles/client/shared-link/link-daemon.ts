import { closeSync, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { raiseDescriptorLimit } from "../../../system/descriptor-limit.ts";
import { forbidInspection } from "../../../system/process.ts";
import { listenUnix, peerOf } from "../../../system/tcp-stream.ts";
import { within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import { Link } from "../link/link.ts";
import { LinkHost } from "./link-host.ts";
import { LinkLooks } from "./link-looks.ts";
import { configDigest, linkSecret } from "./link-key.ts";
import type { LinkPlan } from "./link-message.ts";
import {
  checkLinkFolder,
  leaveName,
  newSocketName,
  remove,
  socketOf,
  takeName,
} from "./link-place.ts";
import { loadVault, type VaultConfig } from "../vault/vault-config.ts";
import { VaultOpener } from "../dial/vault-opener.ts";

/** Until nobody needs it any more. */
export async function serveLink(plan: LinkPlan, context: Context): Promise<number> {
  const { folder, name } = plan;
  checkLinkFolder(folder);
  const config = plan.config as unknown as VaultConfig;
  const socket = newSocketName(process.pid);
  const { monotonicMs, wallMs } = context;
  forbidInspection();
  const secret = await linkSecret(context);
  const looks = new LinkLooks(() => look());
  const host = new LinkHost({
    vault: config.name,
    config: config.path,
    socket,
    idleMs: plan.idleMs,
    onRequest: () => looks.request(),
    monotonicMs,
    wallMs,
  });
  raiseDescriptorLimit(clientLimits.linkSocketsMax + spareDescriptors);
  // Before the socket is there: nobody else may open it, not even for a moment.
  process.umask(0o077);
  const listening = listenUnix(join(folder, socket), {
    connectionsMax: clientLimits.linkSocketsMax,
    onConnection: (stream) => {
      if (peerOf(stream)?.uid === process.geteuid?.()) void host.serve(stream);
      else stream.abort(0);
    },
  });
  takeName(folder, name, socket);
  let isRetired = false;
  const giveNameUp = (): void => {
    if (isRetired) return;
    isRetired = true;
    leaveName(folder, name, socket);
    // The next one may start while the commands of this one go on.
    remove(join(folder, `${name}.lock`));
    closeSync(lockDescriptor);
  };
  const retire = (): void => {
    giveNameUp();
    host.retire();
  };
  let seen: string | undefined;
  const look = (): void => {
    // Whoever cleans up /tmp may have taken the socket itself.
    const isNamed = socketOf(folder, name) === socket && existsSync(join(folder, socket));
    const found = fileState(config.path);
    const isKept = found === seen || isSameConfig(plan, secret, context);
    seen = found;
    if (!isNamed || host.isOld || !isKept) retire();
  };
  // Somebody who logs out, or the system that stops: nothing is waited for.
  const stopped = Promise.withResolvers<void>();
  context.onStop(() => stopped.resolve());
  await context.stdout.write("ready\n");
  const opening = openLink(plan, config, host, context);
  void opening.then((link) => link && looks.follow(link));
  await Promise.race([host.ended, stopped.promise]);
  looks.close();
  giveNameUp();
  listening.close();
  remove(join(folder, socket));
  await within(
    opening.then((link) => link?.close()),
    clientLimits.farewellMs,
  );
  return 0;
}

/** Undefined where it could not be made; the commands are told why. */
async function openLink(
  plan: LinkPlan,
  config: VaultConfig,
  host: LinkHost,
  context: Context,
): Promise<Link | undefined> {
  const { transport, verbose, quiet } = plan;
  const speaking = { ...context, stderr: noticeStream(plan, host) };
  try {
    const options = { transport: transport ?? undefined, verbose, quiet };
    const opener = new VaultOpener(config, plan.token, options, speaking);
    const link = await Link.open({
      vault: config.name,
      open: () => opener.open(),
      clock: context,
      onState: (state) => host.receiveState(state),
    });
    host.use(link);
    return link;
  } catch (error) {
    host.fail(error);
    return undefined;
  }
}

/** Changes with every writing of a file. */
function fileState(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return `${stat?.ino} ${stat?.size} ${stat?.mtimeMs}`;
}

function isSameConfig(plan: LinkPlan, secret: Uint8Array, { env }: Context): boolean {
  try {
    return configDigest(loadVault(plan.config.name, env).vault, secret) === plan.configDigest;
  } catch {
    return false;
  }
}

/** What is said while the vault is dialled is for the commands that wait, as if they dialled it. */
function noticeStream({ terminalColumns }: LinkPlan, host: LinkHost): Context["stderr"] {
  return {
    isTty: terminalColumns !== null,
    columns: terminalColumns ?? 80,
    rows: 24,
    write: (data) => {
      host.notice(typeof data === "string" ? data : new TextDecoder().decode(data));
      return Promise.resolve();
    },
    onResize: () => () => undefined,
  };
}

/** Locked by whoever started us, and with us for as long as we have it. */
const lockDescriptor = 3;
/** For what is no command's: the UDP socket, files that are looked at. */
const spareDescriptors = 64;
