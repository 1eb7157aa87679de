/** A session description and the candidates taken out of it. */
export interface SplitDescription {
  sdp: string;
  candidates: { candidate: string; mid: string }[];
}

/**
 * Takes the candidates out of a complete SDP (RFC 8839), so that they can be added later. `a=end-of-candidates`
 * goes as well. Relays stay: a TURN server lets nobody in whom this side has not named to it.
 */
export function splitCandidates(sdp: string): SplitDescription {
  const kept: string[] = [];
  const candidates: { candidate: string; mid: string }[] = [];
  const mid = /^a=mid:(\S+)/m.exec(sdp)?.[1] ?? "0";
  for (const line of sdp.split(/\r?\n/)) {
    const isHeld = line.startsWith("a=candidate:") && !/ typ relay\b/.test(line);
    if (isHeld) candidates.push({ candidate: line.slice("a=".length), mid });
    else if (!line.startsWith("a=end-of-candidates")) kept.push(line);
  }
  return { sdp: kept.join("\r\n"), candidates };
}

/**
 * The certificates of both ends as one text, the offering end's first: `sha-256 AA:BB:… sha-256 CC:DD:…`.
 * `remoteFingerprint` is the algorithm, a blank, and the digest in hex, as in a line `a=fingerprint:`
 * (RFC 8122). Undefined unless both are SHA-256.
 */
export function bindingText(
  local: { type: string; sdp: string },
  remoteFingerprint: string,
): string | undefined {
  const ends = [/^a=fingerprint:(.+)$/m.exec(local.sdp)?.[1] ?? "", remoteFingerprint].map((each) => {
    const [algorithm = "", ...digest] = each.trim().split(/ +/);
    return `${algorithm.toLowerCase()} ${digest.join(" ").toUpperCase()}`;
  });
  if (!ends.every((each) => /^sha-256 [0-9A-F]{2}(:[0-9A-F]{2}){31}$/.test(each))) return undefined;
  return (local.type === "offer" ? ends : ends.reverse()).join(" ");
}

/** One address that a peer told. */
export interface CandidateAddress {
  /** `host`, `srflx`, `prflx` or `relay` (RFC 8839). */
  type: string;
  address: string;
  port: number;
}

/** The addresses in an SDP. */
export function candidatesOf(sdp: string): CandidateAddress[] {
  return [...sdp.matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) typ (\w+)/gm)]
    .map(([, address = "", port, type = ""]) => ({ type, address, port: Number(port) }));
}

/** A complete SDP without the candidates that are no relays. */
export function relaysOnly(sdp: string): string {
  return sdp.replace(/^a=candidate:(?!.* typ relay\b).*\r?\n/gm, "");
}
