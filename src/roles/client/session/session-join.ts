import type { Context } from "../../../cli/context.ts";
import type { ForegroundSession } from "./foreground.ts";
import type { ListedSession } from "./session-choice.ts";
import { attachRequest, clientLabel, randomName, terminalSize } from "./session-request.ts";

/** One that is there already, as it is: on a terminal or on pipes. */
export function joining(
  found: ListedSession,
  mode: "take-over" | "share",
  context: Context,
): ForegroundSession {
  const { session_id: session, generation, tty } = found;
  const client = randomName(context);
  const size = tty && context.stdout.isTty ? terminalSize(context) : undefined;
  const label = clientLabel(context);
  const attach = attachRequest(session, client, size, { mode, generation });
  const first = [{ ...attach, client_label: label }];
  return { plan: { client, first, label }, session, tty, guest: true };
}
