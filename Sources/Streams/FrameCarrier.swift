internal import NIOCore
internal import Wire

/// What brings frames to one peer and back: a connection, or an exchange of HTTP requests. On its event loop; `send`,
/// `close`, `frameTaken` and `confirm` are for any thread.
protocol FrameCarrier: AnyObject, Sendable {
    var peer: Endpoint { get }
    /// Who has made it, at the end that connects. Set before it is used.
    var owner: Dial? { get set }
    /// Since when frames can be carried.
    var openedAt: NIODeadline? { get }

    /// False when there is no room: the frame is lost.
    func send(_ frame: [UInt8]) -> Bool
    func close(_ end: StreamEnd)
    /// The inbox's taker has one of its frames.
    func frameTaken()
    /// Something authentic has come.
    func confirm()
}
