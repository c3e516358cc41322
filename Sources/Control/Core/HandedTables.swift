package import InterCore

/// Tables of one kind that workers may have, oldest first.
package struct HandedTables<Table: SharedTable>: Sendable {
    private var tables: [(table: Table, awaited: Set<Int>)] = []

    package var generations: [UInt32] { tables.map(\.table.generation) }

    /// All workers were given it, and none has said so yet.
    package mutating func append(_ table: Table, workers: Int) { tables.append((table, Set(0..<workers))) }

    /// A worker has a table and, therefore, none of those before it.
    package mutating func inForce(_ generation: UInt32, worker: Int) {
        for index in tables.indices where tables[index].table.generation <= generation {
            tables[index].awaited.remove(worker)
        }
        while tables.count > 1, tables[1].awaited.isEmpty { tables.removeFirst().table.free() }
    }
}
