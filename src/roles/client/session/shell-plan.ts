import type { Context } from "../../../cli/context.ts";
import { canAsk } from "../../../cli/can-ask.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { Request } from "../../../protocol/message.ts";
import type { SessionOpenRequest } from "../../../protocol/session-message.ts";
import {
  askSharing,
  attachedOne,
  freeName,
  listSessions,
  type Sharing,
} from "./attached-elsewhere.ts";
import type { Keyboard } from "./keyboard.ts";
import { clientLimits } from "../limits.ts";
import {
  attachRequest,
  clientLabel,
  openRequest,
  randomName,
  terminalSize,
} from "./session-request.ts";
import type { FirstRequest, SessionPlan } from "./session-run.ts";
import { mainShell } from "./shell-way-back.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import { surroundings } from "./surroundings.ts";

export interface ShellWish {
  readonly name: string;
  /** Undefined: its user is asked if somebody else has it. */
  readonly sharing: Sharing | undefined;
}

/** Of the flags of `connect`. */
export function shellWish(said: {
  readonly session: string | undefined;
  readonly "take-over": boolean;
  readonly share: boolean;
  readonly new: boolean;
}): ShellWish {
  const { session: name = mainShell } = said;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name))
    throw new UsageError(`--session must be 1 to 64 letters, digits, ".", "_" or "-"`);
  const chosen = (["take-over", "share", "new"] as const).filter((sharing) => said[sharing]);
  const [sharing, other] = chosen;
  if (other !== undefined) throw new UsageError(`--${sharing} and --${other} exclude each other`);
  return { name, sharing };
}

export interface ShellPlan extends SessionPlan {
  /** Its name, once it is open: what was asked for, or a free one beside it. */
  readonly shell: () => string;
}

/**
 * A shell that people know by name: opened where none runs, else joined; the last try is for one that
 * ends in between. Not joined first, because a shell that has ended is still there to be read.
 */
export function shellPlan(
  wish: ShellWish,
  keyboard: Keyboard,
  { env, terminfo }: Pick<VaultConfig, "env" | "terminfo">,
  context: Context,
): ShellPlan {
  const { name, sharing = canAsk(context) ? undefined : "take-over" } = wish;
  const client = randomName(context);
  const label = clientLabel(context);
  const size = terminalSize(context);
  const fields: Omit<SessionOpenRequest, "type" | "id" | "name"> = {
    client,
    client_label: label,
    tty: true,
    ...(env === undefined ? {} : { env: { ...env } }),
    ...surroundings(context, true, terminfo),
    ...size,
  };
  const open = (as: string): Request =>
    openRequest({ id: randomName(context), ...fields, name: as });
  const attach = (mode: "take-over" | "share"): Request => ({
    ...attachRequest(name, client, size, { mode }),
    client_label: label,
  });
  let shell = name;
  const openBeside = (sessions: Parameters<typeof freeName>[0]): Request => {
    shell = freeName(sessions, name);
    return open(shell);
  };
  const join: FirstRequest = async (connection) => {
    const sessions =
      sharing === undefined || sharing === "new" ? await listSessions(connection) : [];
    const elsewhere = attachedOne(sessions, name);
    const wanted =
      sharing ??
      (elsewhere === undefined ? "take-over" : await askSharing(elsewhere, keyboard, context));
    if (wanted === "new") return openBeside(sessions);
    if (wanted !== undefined) return attach(wanted);
    keyboard.onAction("leave");
    return new Promise(() => undefined);
  };
  const first = open(name);
  // Whoever wanted one beside it at the same moment may have had the free name first.
  const again: FirstRequest = async (connection) =>
    shell === name ? first : openBeside(await listSessions(connection));
  const others = Array<FirstRequest>(clientLimits.shellTriesMax).fill(again);
  return { client, label, first: [first, join, ...others], shell: () => shell };
}
