package store

// Collections lists every collection that Trifecta keeps. Engines are opened with it, "trifecta migrate" creates and
// copies what it names. A new collection is declared in its own file and added here.
func Collections() []Collection {
	return []Collection{
		MigrationCollection(),
		LeaseCollection(),
		CursorCollection(),
		ClaimCollection(),
		PaymentCollection(),
		HistoryCollection(),
		KeyCollection(),
		AlertCollection(),
		AlertBoxCollection(),
		InboxCollection(),
		InboxBodyCollection(),
		OrphanCollection(),
		RunCollection(),
		DiscrepancyCollection(),
		FeedCollection(),
		RiskSubjectCollection(),
		RiskTallyCollection(),
		RiskDecisionCollection(),
		RiskBlockCollection(),
		DisputeCollection(),
		EvidenceCollection(),
		EvidenceFileCollection(),
		ReplicaCollection(),
		SettingsCollection(),
		ShareCollection(),
		ErasureCollection(),
	}
}

// WritePoints lists the name of every durable write in the program, for the crash tests that stop before and after
// each. A new one is declared beside the code that writes and added here.
func WritePoints() []WritePoint {
	return []WritePoint{
		PointMigrationBegin, PointMigrationSave, PointMigrationCopy, PointMigrationRemove,
		PointLeaseAcquire, PointLeaseRenew, PointLeaseRelease,
		PointCursorTake, PointCursorSet,
		PointClaim,
		PointPaymentInsert, PointPaymentReplace, PointHistorySpill,
		PointKeyInsert, PointKeyRevoke,
		PointAlertRaise, PointAlertChange, PointAlertClear, PointAlertBox,
		PointInboxInsert, PointInboxBody, PointInboxWake, PointInboxClaim, PointInboxSettle, PointInboxTold, PointInboxReplay,
		PointInboxVariant, PointInboxPrune, PointInboxPruneBody,
		PointOrphan,
		PointRunInsert, PointRunSave, PointRunExpire,
		PointDiscrepancyInsert, PointDiscrepancyResolve,
		PointFeedInsert, PointFeedReplace,
		PointRiskSubjectInsert, PointRiskSubjectChange, PointRiskTallyInsert, PointRiskTallyChange,
		PointRiskDecisionInsert, PointRiskDecisionChange, PointRiskBlockInsert, PointRiskBlockChange,
		PointDisputeInsert, PointDisputeReplace, PointEvidence, PointEvidenceFile,
		PointReplicaAnnounce, PointReplicaRenew, PointReplicaLeave, PointReplicaPrune,
		PointReseal,
		PointSettingsInsert, PointSettingsReplace,
		PointShareTake, PointShareLeave,
		PointPruneInbox, PointPruneAlerts, PointPruneFeed,
		PointErasureInsert, PointErasureStep, PointErase, PointEraseBody,
	}
}
