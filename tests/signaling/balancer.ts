/** Passes TCP connections on to the first of several servers that takes them, as a balancer in front of them does. */
export class Balancer {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections = new Set<Deno.Conn>();
  readonly #running: Promise<void>;
  /** Ports of the servers, the preferred one first. */
  ports: readonly number[];

  constructor(ports: readonly number[]) {
    this.ports = ports;
    this.#running = this.#run();
  }

  /** Host and port to connect to. */
  get address(): string {
    return `127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Cuts all connections. */
  async close(): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) closed(connection);
    await this.#running;
  }

  async #run(): Promise<void> {
    const passing: Promise<void>[] = [];
    for await (const connection of this.#listener) passing.push(this.#pass(connection));
    await Promise.all(passing);
  }

  async #pass(incoming: Deno.Conn): Promise<void> {
    const outgoing = await this.#connect();
    if (outgoing === undefined) return closed(incoming);
    for (const each of [incoming, outgoing]) this.#connections.add(each);
    await Promise.allSettled([
      incoming.readable.pipeTo(outgoing.writable),
      outgoing.readable.pipeTo(incoming.writable),
    ]);
    for (const each of [incoming, outgoing]) {
      this.#connections.delete(each);
      closed(each);
    }
  }

  async #connect(): Promise<Deno.Conn | undefined> {
    for (const port of this.ports) {
      try {
        return await Deno.connect({ hostname: "127.0.0.1", port });
      } catch {
        // that one is dead
      }
    }
    return undefined;
  }
}

function closed(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // it was
  }
}
