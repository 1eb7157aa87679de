/** The parts of an address like `turn:turn.example.org:3478?transport=udp`. */
export interface IceUrl {
  kind: "stun" | "turn";
  /** Without the brackets of an IPv6 address. */
  hostname: string;
  port: number;
  /** Plain UDP: neither `stuns:` or `turns:` nor another transport. */
  isUdp: boolean;
}

/**
 * The parts of the address of a STUN or TURN server; undefined for anything else. The port is 3478, for `stuns:` and
 * `turns:` 5349, unless it is given. Source: RFC 7064, RFC 7065.
 */
export function parseIceUrl(text: string): IceUrl | undefined {
  const found =
    /^(?<kind>stun|turn)(?<tls>s?):(?:\[(?<six>[\da-f:.]+)\]|(?<host>[\w.-]+))(?::(?<port>\d{1,5}))?(?:\?transport=(?<transport>\w+))?$/i
      .exec(text)?.groups;
  if (!found) return undefined;
  const { six, host = six ?? "", tls, transport = "udp" } = found;
  const kind = found["kind"]?.toLowerCase() === "turn" ? "turn" : "stun";
  const port = Number(found["port"] ?? (tls ? 5349 : 3478));
  if (port < 1 || port > 65_535 || (kind === "stun" && found["transport"] !== undefined)) return undefined;
  return { kind, hostname: host, port, isUdp: !tls && transport.toLowerCase() === "udp" };
}

/** {@link parseIceUrl} in words. */
export const ICE_URL_RULE = "stun:HOST:PORT, or turn:HOST:PORT with user and password beside it, not in it";
