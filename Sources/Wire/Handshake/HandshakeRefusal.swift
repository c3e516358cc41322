/// Why a SYN gets no answer, or an ACK opens no connection. The caller counts each.
public enum HandshakeRefusal: UInt8, CaseIterable, Sendable, BitwiseCopyable {
    /// Not a TCP segment, or malformed.
    case notTCP
    case fragment
    /// Not a SYN alone; not an ACK without SYN and RST.
    case flags
    /// From or to a group, from nowhere, from itself, from port 0.
    case address
    /// Malformed options; or AO or MD5, which a SYN/ACK would have to be signed with.
    case options
    case checksum
    /// The answer is longer than there is room for.
    case room
    /// Not the cookie's acknowledgement, or one that is too old.
    case cookie
}
