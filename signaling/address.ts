/** Where a request comes from, as far as limits and logs care. */
import { isIP } from "node:net";

/**
 * The address that limits count by: of IPv4 all of it, of IPv6 the network of one customer (its first 64 bits), which
 * has more addresses than anybody could count. With `trustProxy`, what the proxy in front says: the last entry of
 * X-Forwarded-For, as the others are the client's own words.
 */
export function clientAddress(request: Request, remote: string, trustProxy: boolean): string {
  const forwarded = trustProxy
    ? request.headers.get("x-forwarded-for")?.split(",").at(-1)?.trim()
    : undefined;
  return addressGroup(forwarded !== undefined && isIP(forwarded) ? forwarded : remote);
}

/** An IPv4 address, or the first 64 bits of an IPv6 address as `a:b:c:d::/64`; anything else unchanged. */
export function addressGroup(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (isIP(address) !== 6) return address;
  const [before = "", after] = address.split("%")[0]!.split("::");
  const head = before === "" ? [] : before.split(":");
  const tail = after === undefined || after === "" ? [] : after.split(":");
  // An IPv4 address at the end stands for two groups.
  const given = head.length + tail.length + (address.includes(".") ? 1 : 0);
  const zeros = after === undefined ? [] : Array<string>(8 - given).fill("0");
  const groups = [...head, ...zeros, ...tail].slice(0, 4).map((group) => parseInt(group, 16).toString(16));
  return `${groups.join(":")}::/64`;
}
