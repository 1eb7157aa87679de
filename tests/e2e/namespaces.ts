/** Network namespaces of this machine as the machines of a small network; Linux and root only. */
import assert from "node:assert/strict";
import { hasProgram } from "./has_program.ts";

/** What a program printed, both outputs together. Throws with it when the program failed. */
async function run(...command: string[]): Promise<string> {
  const [program = "", ...args] = command;
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("").trim();
  assert.ok(success, `${command.join(" ")}: ${text}`);
  return text;
}

/** A name that nobody else has, short enough to be typed when something is left behind. */
function uniqueName(suffix: string): string {
  return `sleap-rtc-${Deno.pid}-${suffix}`;
}

/**
 * Why namespaces and `programs` cannot be used on this machine, as a plain text for the name of a skipped test;
 * undefined when they can.
 */
export async function whyNoNamespaces(programs: readonly string[] = []): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "needs Linux";
  if (Deno.uid() !== 0) return "needs root";
  for (const program of ["ip", ...programs]) {
    if (!await hasProgram(program)) return `needs ${program}`;
  }
  const name = uniqueName("probe");
  try {
    await run("ip", "netns", "add", name);
    await run("ip", "netns", "exec", name, "true");
    return undefined;
  } catch {
    return "needs the right to make network namespaces";
  } finally {
    await run("ip", "netns", "del", name).catch(() => {});
  }
}

/** One machine of the network. */
export class Namespace {
  /** What runs a program in it, put in front of the command. */
  readonly prefix: readonly string[];

  /** `address` is the IPv4 address by which the others know it. */
  constructor(readonly name: string, readonly address: string) {
    this.prefix = ["ip", "netns", "exec", name];
  }

  /** Runs a program in it to its end; what it printed. Throws when it failed. */
  run(...command: string[]): Promise<string> {
    return run(...this.prefix, ...command);
  }
}

/** A machine that is linked to the middle, and to nothing else. */
export class Leaf extends Namespace {
  readonly #gateway: string;

  /** `gateway` is the middle's address on the link. */
  constructor(name: string, address: string, gateway: string) {
    super(name, address);
    this.#gateway = gateway;
  }

  /** Pulls the plug: packets are lost on both ways until {@link linkUp}, and the programs are told nothing. */
  async linkDown(): Promise<void> {
    await this.run("ip", "link", "set", "eth0", "down");
  }

  /** Puts the plug in, with the same address as before. */
  async linkUp(): Promise<void> {
    await this.run("ip", "link", "set", "eth0", "up");
    // The kernel forgets the routes of a link that is down.
    await this.run("ip", "route", "replace", "default", "via", this.#gateway);
  }
}

/** A star: the leaves reach the middle, and one another if the middle forwards. */
export interface Star<Name extends string> {
  /** Known to all leaves by one address. */
  middle: Namespace;
  leaves: Readonly<Record<Name, Leaf>>;
}

/** Address of the middle; the leaves have 10.77.1.2, 10.77.2.2 and so on. They exist in the namespaces only. */
const MIDDLE_ADDRESS = "10.77.0.1";

/**
 * Runs a test with a star of namespaces, one leaf for each name; they are gone afterwards, whatever happens.
 * End the processes in them before: a namespace lives as long as they do.
 */
export async function withNamespaces<Name extends string>(
  names: readonly Name[],
  { forwards }: { forwards: boolean },
  test: (star: Star<Name>) => Promise<void>,
): Promise<void> {
  const middle = new Namespace(uniqueName("middle"), MIDDLE_ADDRESS);
  const made: Namespace[] = [];
  const add = async (namespace: Namespace): Promise<void> => {
    await run("ip", "netns", "add", namespace.name);
    made.push(namespace);
    await namespace.run("ip", "link", "set", "lo", "up");
  };
  try {
    await add(middle);
    await middle.run("ip", "address", "add", `${MIDDLE_ADDRESS}/32`, "dev", "lo");
    // A new namespace may have this from its parent.
    await middle.run("sh", "-c", `echo ${forwards ? 1 : 0} > /proc/sys/net/ipv4/ip_forward`);
    const leaves: [Name, Leaf][] = [];
    for (const [index, name] of names.entries()) {
      const [gateway, address] = [1, 2].map((host) => `10.77.${index + 1}.${host}`) as [string, string];
      const leaf = new Leaf(uniqueName(name), address, gateway);
      await add(leaf);
      const ends = ["type", "veth", "peer", "name", "eth0", "netns", leaf.name];
      await middle.run("ip", "link", "add", name, ...ends);
      await middle.run("ip", "address", "add", `${gateway}/24`, "dev", name);
      await middle.run("ip", "link", "set", name, "up");
      await leaf.run("ip", "address", "add", `${address}/24`, "dev", "eth0");
      await leaf.linkUp();
      leaves.push([name, leaf]);
    }
    await test({ middle, leaves: Object.fromEntries(leaves) as Record<Name, Leaf> });
  } finally {
    // The links go with the namespaces.
    for (const { name } of made.toReversed()) await run("ip", "netns", "del", name);
  }
}
