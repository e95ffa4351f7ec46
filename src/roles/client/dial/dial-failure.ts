import { Failure } from "../../../cli/failure.ts";
import type { AdmissionHint } from "../../../quic/admission-hint.ts";
import { ConnectionClosed } from "../../../quic/connection.ts";
import { dialChecklist, placesOf } from "./dial-checklist.ts";
import type { DialRace } from "./dial-race.ts";
import { letsUdpOut, noAnswer } from "../link/remote-failure.ts";
import { WebSocketFailed } from "./web-socket-carrier.ts";

type LostRace = Pick<DialRace, "errors" | "places" | "told" | "elapsedMs" | "answered">;

/** Why a race led nowhere, for its user, with how far it came; a mistake of ours as it is. */
export function dialFailure(vault: string, race: LostRace, hasKey: boolean): unknown {
  const reason = reasonOf(vault, race, hasKey);
  if (!(reason instanceof Failure)) return reason;
  const { code, message, because, fix } = reason;
  return new Failure(code, message, {
    ...(because === undefined ? {} : { because }),
    ...(fix === undefined ? {} : { fix }),
    checklist: dialChecklist(vault, race, hasKey),
  });
}

function reasonOf(vault: string, race: LostRace, hasKey: boolean): unknown {
  const { errors } = race;
  const bug = errors.find((error) => !isExpected(error));
  if (bug !== undefined) return bug;
  const said = race.told && hintFailure(vault, race.told, race.elapsedMs);
  if (said !== undefined) return said;
  const refused = errors.find((error) => error instanceof ConnectionClosed);
  if (refused !== undefined && refused.reason.kind !== "handshake-timeout")
    return new Failure("FV-NET-002", `"${vault}" did not let us connect`, {
      because: `${[...race.places.keys()].join(", ")}: ${refused.message}`,
      fix: "see that the address is that of a fly-vault machine or proxy",
    });
  const unresolved = errors.find((error) => error instanceof Failure);
  if (unresolved !== undefined) return unresolved;
  const silence = `no reply in ${Math.max(1, Math.round(race.elapsedMs / 1000))} s`;
  const web = errors.findLast((error) => error instanceof WebSocketFailed);
  const [udp, tcp] = [placesOf(race.places, "quic"), placesOf(race.places, "tcp")];
  const tried = [
    ...(udp === "" ? [] : [`${udp} over UDP: ${silence}`]),
    ...(tcp === "" ? [] : [`${tcp} over TCP: ${web?.message ?? silence}`]),
  ];
  return noAnswer(vault, tried.join("; "), [
    ...(udp === "" ? [] : [letsUdpOut]),
    hasKey ? refusesKey : wantsKey,
  ]);
}

/** What the proxy said of the machine; undefined where it is nothing against trying. */
function hintFailure(
  vault: string,
  { state }: AdmissionHint,
  elapsedMs: number,
): Failure | undefined {
  const seconds = Math.round(elapsedMs / 1000);
  switch (state) {
    case "clock":
      return undefined;
    case "starting":
    case "resuming":
      return new Failure("FV-VM-004", `the machine of "${vault}" was not up in time`, {
        because: `its proxy has been starting it for ${seconds} s`,
        fix: "try again; if it stays so, look at the machine's log:  fly logs",
      });
    case "failed":
      return new Failure("FV-VM-004", `the machine of "${vault}" could not be started`, {
        because: "its proxy tried to, and Fly's answer was an error",
        fix: "try again in a minute; see what is wrong with it:  fly machine status",
      });
    case "resting":
      return new Failure("FV-VM-005", `the machine of "${vault}" is not started again for now`, {
        because: "its proxy has started it too often in this hour or day",
        fix: "find out why it stops:  fly logs;  start it by hand:  fly machine start",
      });
    case "unknown-machine":
      return new Failure("FV-VM-006", `there is no machine of "${vault}"`, {
        because: "its proxy asked Fly for the machine that admission_key names",
        fix: "if it was made just now, try again in a minute; else ask whoever runs it for the vault's new entry",
      });
    case "busy":
      return new Failure("FV-NET-004", `the proxy of "${vault}" is busy`, {
        because: "a limit is reached: of this machine, of this network, or of starts in all",
        fix: "try again in a minute",
      });
    case "draining":
      return new Failure("FV-NET-004", `the proxy of "${vault}" is being replaced`, {
        because: "it lets nobody in any more, and no other one answered",
        fix: "try again in a few seconds",
      });
  }
}

/** A machine that does not admit us is silent, whatever the reason. */
const wantsKey = "that the machine has no admission key (else set admission_key)";
const refusesKey =
  "that this computer's clock is right, and that admission_key is the one the machine has";

function isExpected(error: unknown): boolean {
  if (error instanceof ConnectionClosed || error instanceof WebSocketFailed) return true;
  return error instanceof Failure || (error instanceof Error && "syscall" in error);
}
