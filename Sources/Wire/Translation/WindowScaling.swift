/// A TCP window on its way from a sender that shifts by one scale to a receiver that reads it with another (RFC 7323
/// section 2).
public struct WindowScaling: Hashable, Sendable, BitwiseCopyable {
    /// Shifts, 0...14; 0 where no window scale was agreed on.
    public let sent: UInt8
    public let read: UInt8

    @inlinable @inline(__always)
    public init(sent: UInt8, read: UInt8) {
        self.sent = min(sent, 14)
        self.read = min(read, 14)
    }

    /// - Parameters: known to be at most 14.
    @inlinable @inline(__always)
    init(known sent: UInt8, _ read: UInt8) {
        self.sent = sent
        self.read = read
    }

    @inlinable var inverse: WindowScaling { .init(sent: read, read: sent) }

    /// What the receiver must read. Rounded down, so that no more is promised than was; at most 65,535. An open window
    /// stays open: closed by rounding it might never be opened again, since its sender has no reason to say more.
    @inlinable @inline(__always)
    public func scaled(_ window: UInt16) -> UInt16 {
        guard sent != read, window != 0 else { return window }
        let units = (UInt32(window) &<< UInt32(sent)) &>> UInt32(read)
        return UInt16(truncatingIfNeeded: min(max(units, 1), 0xFFFF))
    }
}
