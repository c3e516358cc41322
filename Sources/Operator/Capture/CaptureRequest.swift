public import InterCore

/// What an operator wants captured, and in which bounds.
public struct CaptureRequest: Equatable, Sendable {
    /// Its `proxy` is filled in by the director, from the name below.
    public var order = CaptureOrder()
    /// Only flows that this proxy has, and only its channel.
    public var proxy: String?
    /// Frames of the control channel as well.
    public var includesCRTP = false
    /// The capture ends after so many packets, bytes of file, or seconds; whichever comes first.
    public var packets = 10_000
    public var bytes = 16 << 20
    public var seconds = 60

    public init() {}
}

/// Answer to `capture`: it is on.
public struct CaptureStatus: Codable, Equatable, Sendable {
    /// To ask for its blocks by.
    public var capture: UInt32
    public var seconds: Int
    public var packets: Int
    public var bytes: Int

    public init(capture: UInt32, _ request: CaptureRequest) {
        self.capture = capture
        (seconds, packets, bytes) = (request.seconds, request.packets, request.bytes)
    }
}

/// Answer to `capture.read` and `capture.stop`: the next part of the file.
public struct CapturePage: Codable, Equatable, Sendable {
    /// Whole pcapng blocks, in base64.
    public var blocks: String
    /// More is there already.
    public var hasMore: Bool
    /// So far.
    public var packets: Int
    /// Not in the file: above the rate, or faster than they were taken.
    public var lost: UInt64
    /// Why it has ended; nil while it goes on.
    public var ended: String?

    public init(blocks: String, hasMore: Bool, packets: Int, lost: UInt64, ended: String?) {
        (self.blocks, self.hasMore, self.packets, self.lost, self.ended) = (blocks, hasMore, packets, lost, ended)
    }
}
