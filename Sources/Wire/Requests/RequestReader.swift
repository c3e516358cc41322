/// Reads the first bytes of a connection as any of the applications of `wanted`.
///
/// Total and pure: every input gives an answer, nothing is allocated. Cost is linear in the bytes.
@inlinable
public func recogniseRequest(_ bytes: UnsafeRawBufferPointer, wanted: Application) -> Recognition {
    .unsuitable(.unknownProtocol)
}
