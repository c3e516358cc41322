public import Wire

/// What a director says of its multicast group, inside each unicast session (TLV GROUP): what a member needs to know
/// frames of the group from everything else. Nothing in it is secret: the group's key comes from the pre-shared key.
public struct GroupDescription: Equatable, Sendable {
    /// Where the director sends, and members listen.
    public var endpoint: Endpoint
    /// Not 0; new with each key of the group.
    public var session: UInt32
    /// 16 bytes, new with each key of the group.
    public var nonce: [UInt8]
    public var keyID: UInt8
    public var protection: Protection

    public init(endpoint: Endpoint, session: UInt32, nonce: [UInt8], keyID: UInt8, protection: Protection) {
        self.endpoint = endpoint
        self.session = session
        self.nonce = nonce
        self.keyID = keyID
        self.protection = protection
    }
}
