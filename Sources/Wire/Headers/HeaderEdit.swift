/// Fields of one header, changed in place: first the fields, then the checksums over them, which learn of all changes in
/// one step.
///
/// The header must start at an even offset of whatever its checksums sum, as IP, TCP and ICMP headers do.
public struct HeaderEdit: BitwiseCopyable {
    public let header: UnsafeMutableRawPointer
    /// What has changed so far, checksum fields included.
    public var change = ChecksumChange()

    @inlinable @inline(__always)
    public init(_ header: UnsafeMutableRawPointer) { self.header = header }

    @inlinable @inline(__always)
    public var view: UnsafeRawPointer { UnsafeRawPointer(header) }

    @inlinable @inline(__always)
    public mutating func set8(_ offset: Int, _ value: UInt8) {
        change.replace(view.wire8(offset), with: value, isOdd: offset & 1 != 0)
        header.setWire8(offset, value)
    }

    @inlinable @inline(__always)
    public mutating func set16(_ offset: Int, _ value: UInt16) {
        change.replace(view.wire16(offset), with: value, isOdd: offset & 1 != 0)
        header.setWire16(offset, value)
    }

    @inlinable @inline(__always)
    public mutating func set32(_ offset: Int, _ value: UInt32) {
        change.replace(view.wire32(offset), with: value, isOdd: offset & 1 != 0)
        header.setWire32(offset, value)
    }

    /// Adds `delta` to a number that wraps.
    @inlinable @inline(__always)
    public mutating func shift32(_ offset: Int, by delta: UInt32) {
        if delta != 0 { set32(offset, view.wire32(offset) &+ delta) }
    }

    /// An IPv4 or IPv6 header's field.
    @inlinable @inline(__always)
    public mutating func setAddress(_ offset: Int, _ address: IPAddress, isV6: Bool) {
        guard isV6 else { return set32(offset, address.v4) }
        set32(offset, UInt32(truncatingIfNeeded: address.high &>> 32))
        set32(offset &+ 4, UInt32(truncatingIfNeeded: address.high))
        set32(offset &+ 8, UInt32(truncatingIfNeeded: address.low &>> 32))
        set32(offset &+ 12, UInt32(truncatingIfNeeded: address.low))
    }

    /// The second step: puts right a checksum of this header, for changes under it. One that was wrong stays wrong.
    @inlinable @inline(__always)
    public mutating func updateChecksum(_ offset: Int, after changes: ChecksumChange) {
        set16(offset, changes.applied(to: view.wire16(offset)))
    }
}

// MARK: TCP options

extension HeaderEdit {
    /// Nothing moves: the option's bytes become NOP.
    @inlinable
    public mutating func blank(_ option: TCPOption) {
        var index = 0
        while index < option.length {
            set8(option.offset &+ index, TCPOptionKind.noOperation)
            index &+= 1
        }
    }

    /// Lowers the MSS that a SYN's options state. False, and nothing changed, when it is no larger or there is none.
    @inlinable
    public mutating func clampMaximumSegmentSize(_ options: TCPOptions, to limit: UInt16) -> Bool {
        guard options.maximumSegmentSizeOffset > 0, options.maximumSegmentSize > limit else { return false }
        set16(Int(options.maximumSegmentSizeOffset), limit)
        return true
    }
}
