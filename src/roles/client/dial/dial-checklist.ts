import { type Checklist, Failure } from "../../../cli/failure.ts";
import type { HintState } from "../../../quic/admission-hint.ts";
import type { DialRace } from "./dial-race.ts";
import type { Transport } from "./transport.ts";

/** How far a race that led nowhere came, by what it has seen itself. Nothing is asked anew. */
export function dialChecklist(
  vault: string,
  race: Pick<DialRace, "places" | "told" | "answered" | "errors">,
  hasKey: boolean,
): Checklist {
  const { places, told, answered, errors } = race;
  const steps: { passed: boolean; text: string }[] = [];
  const step = (passed: boolean, text: string): void => void steps.push({ passed, text });
  const udp = placesOf(places, "quic");
  const isUnknown = errors.some((error) => error instanceof Failure && error.code === "FV-NET-001");
  if (isUnknown) step(false, "dns: the name of the address has no address");
  // By TCP alone the name is looked up by whoever opens the WebSocket.
  if (udp !== "") step(true, `dns: ${udp}`);
  if (told !== undefined) {
    step(true, "proxy answers");
    step(false, wordsOf[told.state]);
  } else if (answered.size > 0) {
    const over = [...answered].map((transport) => transportNames[transport]).join(" and ");
    step(true, `something answers over ${over}`);
    step(false, "the handshake was not finished");
  } else if (places.size > 0)
    step(false, hasKey ? "neither proxy nor machine answered" : "machine did not answer");
  return { steps, next: `fly-vault doctor ${vault}` };
}

export function placesOf(places: ReadonlyMap<string, Transport>, transport: Transport): string {
  return [...places.keys()].filter((where) => places.get(where) === transport).join(", ");
}

const transportNames: Readonly<Record<Transport, string>> = { quic: "UDP", tcp: "TCP" };

const wordsOf: Readonly<Record<HintState, string>> = {
  clock: "machine did not answer; this computer's clock is wrong",
  starting: "machine is being started, and was not up in time",
  resuming: "machine is being resumed, and was not up in time",
  failed: "machine could not be started",
  resting: "machine is not started again for now",
  "unknown-machine": "there is no such machine",
  busy: "proxy lets nobody in, it is busy",
  draining: "proxy lets nobody in, it is being replaced",
};
