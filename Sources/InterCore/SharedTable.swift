/// A table in memory that all workers read and nobody writes: the control core makes one for each change, and frees it when
/// every worker has said that it has a later one.
public protocol SharedTable: Sendable {
    /// Counts the tables since the director's start.
    var generation: UInt32 { get }
    /// Once, when no worker has it any more.
    func free()
}
