import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import { printableLine } from "../../../protocol/printable-line.ts";
import { type ForwardEnd, showEnd, showPorts } from "./forward-spec.ts";
import type { LiveForward } from "./live-forward.ts";
import { asFailure } from "../link/remote-failure.ts";

/** As in `127.0.0.1:3000 → my-dev localhost:3000   up`. */
export function forwardLine(
  forward: Pick<LiveForward, "spec" | "listen">,
  vault: string,
  arrow: string,
): string {
  const { spec, listen } = forward;
  const { target } = spec;
  const from = showEnd(listen);
  if (target === undefined) return `${from} ${arrow} ${vault} (SOCKS)`;
  const to = showEnd(target);
  return spec.kind === "R" ? `${vault} ${from} ${arrow} ${to}` : `${from} ${arrow} ${vault} ${to}`;
}

/** Where the terminal cannot show one it is drawn with two signs. */
export function arrowFor(env: Context["env"]): string {
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find(
    (value) => value !== undefined && value !== "",
  );
  return /utf-?8/i.test(locale ?? "") ? "→" : "->";
}

/** Why a connection from here did not get to its target, in one line. */
export function refusalLine(error: unknown, forward: LiveForward, to: RefusedTarget): string {
  const at = showPorts(forward.listen);
  const target =
    to.end.kind === "unix"
      ? `${to.vault}:${to.end.path}`
      : to.end.host === "localhost"
        ? `${to.vault}:${to.end.port}`
        : `${showEnd(to.end)} (seen from ${to.vault})`;
  if (error instanceof RemoteError && error.code === "forward-refused")
    return `${at}: nothing listens on ${target}`;
  return `${at}: ${describe(asFailure(error, to.vault))}`;
}

export interface RefusedTarget {
  readonly vault: string;
  readonly end: ForwardEnd;
}

export function describe(error: unknown): string {
  if (error instanceof Failure)
    return printableLine(
      error.because === undefined ? error.message : `${error.message} (${error.because})`,
      lineBytesMax,
    );
  return printableLine(error instanceof Error ? error.message : String(error), lineBytesMax);
}

const lineBytesMax = 400;
