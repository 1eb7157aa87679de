import { UserError } from "../config/user_error.ts";
import type { Tls } from "./tls.ts";

/** How long the port may stay taken while a listener makes place for its successor, in milliseconds. */
const REBIND_LIMIT_MS = 5_000;
const REBIND_PAUSE_MS = 10;

/** Answers a request that came from an address. */
export type Handler = (request: Request, remote: string) => Response | Promise<Response>;

interface Generation {
  readonly server: Deno.HttpServer<Deno.NetAddr>;
  /** Ends the server without waiting for the requests at hand. */
  readonly force: AbortController;
}

/** Takes requests at one address and port, with TLS or without. */
export class Listener {
  readonly #hostname: string;
  readonly #handler: Handler;
  #current: Generation;

  /** Port 0 takes any free one. Throws {@link UserError} when it cannot listen. */
  constructor(hostname: string, port: number, tls: Tls | undefined, handler: Handler) {
    this.#hostname = hostname;
    this.#handler = handler;
    try {
      this.#current = this.#serve(port, tls);
    } catch (error) {
      throw listenError(hostname, port, error);
    }
  }

  get port(): number {
    return this.#current.server.addr.port;
  }

  /**
   * Goes on at the same port with another certificate, which is known to be good. Deno has no other way than to stop
   * listening for a moment, and, since 2.6, to close the sockets that are open.
   */
  async renew(tls: Tls): Promise<void> {
    const { port } = this;
    // It ends when the requests at hand are answered; nobody has to wait for that.
    void this.#current.server.shutdown();
    const deadline = performance.now() + REBIND_LIMIT_MS;
    for (;;) {
      try {
        this.#current = this.#serve(port, tls);
        return;
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse) || performance.now() > deadline) {
          throw listenError(this.#hostname, port, error);
        }
        await new Promise((resolve) => setTimeout(resolve, REBIND_PAUSE_MS));
      }
    }
  }

  /** Stops; done when the port is free. */
  async stop(): Promise<void> {
    // Not the graceful way, which would wait for a request that never ends and cannot be forced any more.
    this.#current.force.abort();
    await this.#current.server.finished;
  }

  #serve(port: number, tls: Tls | undefined): Generation {
    const force = new AbortController();
    const options = { hostname: this.#hostname, port, signal: force.signal, onListen: () => {}, ...tls };
    return {
      server: Deno.serve(options, (request, { remoteAddr }) => this.#handler(request, remoteAddr.hostname)),
      force,
    };
  }
}

function listenError(hostname: string, port: number, error: unknown): UserError {
  if (error instanceof Deno.errors.AddrInUse) {
    return new UserError(`port ${port} is in use`, {
      code: "PORT_IN_USE",
      hint: "stop the program that uses it, or choose another port; 0 takes any free one",
      cause: error,
    });
  }
  return new UserError(`cannot listen at ${hostname}, port ${port}: ${String(error)}`, {
    code: "CANNOT_LISTEN",
    hint: "check the address and that you may use the port; ports below 1024 may need rights",
    cause: error,
  });
}
