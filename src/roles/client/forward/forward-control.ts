import type { Context } from "../../../cli/context.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { type ControlServices, serveControl } from "./control-api.ts";
import type { ControlSocket } from "./control-socket.ts";
import { newRegisteredPath, prepareRegistry, type RegisteredForwards } from "./forward-registry.ts";
import type { Forwards } from "./forwards.ts";

/** What a process with forwards answers to: `forward ls|add|rm`, and what was said by --control-socket. */
export class ForwardControl {
  readonly #open: ControlSocket[] = [];
  #isClosed = false;

  /** For `forward ls|add|rm`. Where that cannot be, the forwards work all the same. Never rejects. */
  async register(
    command: RegisteredForwards["command"],
    { vault, forwards }: { readonly vault: string; readonly forwards: Forwards },
    context: Pick<Context, "env" | "randomBytes">,
  ): Promise<void> {
    if (this.#isClosed || !prepareRegistry(context.env)) return;
    try {
      await this.#serve(newRegisteredPath(command, vault, context), { vault, forwards, context });
    } catch {
      // Nobody can change them from outside, then.
    }
  }

  /** `--control-socket`: the whole of it. Rejects with `Failure`. */
  async listen(
    path: string,
    services: ControlServices & { readonly link: AttestedLink },
  ): Promise<void> {
    await this.#serve(path, services);
  }

  close(): void {
    this.#isClosed = true;
    for (const socket of this.#open.splice(0)) socket.close();
  }

  async #serve(path: string, services: ControlServices): Promise<void> {
    // Loading node:http takes longer than starting a shell: not before it is needed.
    const { openControlSocket } = await import("./control-socket.ts");
    const socket = await openControlSocket(path, (request, response) => {
      void serveControl(services, request, response);
    });
    if (this.#isClosed) socket.close();
    else this.#open.push(socket);
  }
}
